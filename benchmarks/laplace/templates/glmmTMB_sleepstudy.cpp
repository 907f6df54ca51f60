#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_VECTOR(y); DATA_MATRIX(X); DATA_IVECTOR(group);
  PARAMETER_VECTOR(beta); PARAMETER(betad); PARAMETER_VECTOR(theta); PARAMETER_VECTOR(b);
  vector<Type> eta = X * beta;
  Type rho = theta[2] / sqrt(1.0 + theta[2] * theta[2]), rest = sqrt(1.0 - rho * rho), res = 0;
  for (int j = 0; j < b.size() / 2; j++) {
    Type first = b(2 * j) / exp(theta[0]), second = b(2 * j + 1) / exp(theta[1]);
    res -= dnorm(first, Type(0), Type(1), true) + dnorm((second - rho * first) / rest, Type(0), Type(1), true);
    res += theta[0] + theta[1] + log(rest);
  }
  for (int i = 0; i < y.size(); i++)
    res -= dnorm(y(i), eta(i) + b(2 * group(i)) + b(2 * group(i) + 1) * X(i, 1), exp(0.5 * betad), true);
  return res;
}
