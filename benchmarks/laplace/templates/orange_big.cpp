#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_VECTOR(y); DATA_VECTOR(t); DATA_IVECTOR(tree); DATA_INTEGER(M); DATA_INTEGER(multiply);
  PARAMETER_VECTOR(beta); PARAMETER(log_sigma); PARAMETER(log_sigma_u); PARAMETER_VECTOR(u);
  Type res = 0, sigma = exp(log_sigma), sigma_u = exp(log_sigma_u);
  for (int k = 0; k < u.size(); k++) res += log_sigma_u + 0.5 * pow(u(k) / sigma_u, 2);
  for (int k = 0; k < multiply; k++)
    for (int i = 0; i < y.size(); i++) {
      Type f = (192.0 + beta[0] + u(tree(i) + k * M)) / (1.0 + exp(-(t(i) - 726.0 - beta[1]) / (356.0 + beta[2])));
      Type z = (y(i) - f) / sigma;
      res += log_sigma + 0.5 * z * z;
    }
  return res;
}
