#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_VECTOR(y); DATA_MATRIX(X); DATA_IVECTOR(group);
  PARAMETER_VECTOR(beta); PARAMETER(theta); PARAMETER_VECTOR(b);
  vector<Type> eta = X * beta;
  Type res = -dnorm(b, Type(0), exp(theta), true).sum();
  for (int i = 0; i < y.size(); i++) res -= dpois(y(i), exp(eta(i) + b(group(i))), true);
  return res;
}
