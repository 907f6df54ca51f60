#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_VECTOR(x); DATA_SPARSE_MATRIX(B); DATA_SPARSE_MATRIX(A);
  PARAMETER_VECTOR(u); PARAMETER_VECTOR(beta); PARAMETER(logsdu); PARAMETER(logsd0);
  vector<Type> mean = A * beta + B * u;
  return -dnorm(u, Type(0), exp(logsdu), true).sum() - dnorm(x, mean, exp(logsd0), true).sum();
}
