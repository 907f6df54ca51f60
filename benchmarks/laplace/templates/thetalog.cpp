#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_VECTOR(Y);
  PARAMETER_VECTOR(X); PARAMETER(logr0); PARAMETER(logtheta); PARAMETER(logK); PARAMETER(logQ); PARAMETER(logR);
  Type r0 = exp(logr0), theta = exp(logtheta), K = exp(logK), Q = exp(logQ), R = exp(logR), res = 0;
  for (int i = 1; i < Y.size(); i++) {
    Type mean = X[i - 1] + r0 * (1.0 - pow(exp(X[i - 1]) / K, theta));
    res -= dnorm(X[i], mean, sqrt(Q), true);
  }
  for (int i = 0; i < Y.size(); i++) res -= dnorm(Y[i], X[i], sqrt(R), true);
  return res;
}
