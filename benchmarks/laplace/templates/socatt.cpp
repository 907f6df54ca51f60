#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_IVECTOR(y); DATA_INTEGER(S); DATA_MATRIX(X); DATA_IVECTOR(group);
  PARAMETER_VECTOR(b); PARAMETER(logsigma); PARAMETER_VECTOR(tmpk); PARAMETER_VECTOR(u);
  vector<Type> alpha = tmpk;
  for (int s = 1; s < tmpk.size(); s++) alpha(s) = alpha(s - 1) + exp(tmpk(s));
  vector<Type> eta = X * b;
  Type res = -dnorm(u, Type(0), Type(1), true).sum(), sigma = exp(logsigma);
  for (int i = 0; i < y.size(); i++) {
    Type e = eta(i) + sigma * u(group(i)), P = 1.0;
    if (y(i) < S - 1) P = 1.0 / (1.0 + exp(-(alpha(y(i)) - e)));
    if (y(i) > 0) P -= 1.0 / (1.0 + exp(-(alpha(y(i) - 1) - e)));
    res -= log(1e-20 + P);
  }
  return res;
}
