#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_VECTOR(time); DATA_VECTOR(event); DATA_VECTOR(x); DATA_IVECTOR(group);
  PARAMETER_VECTOR(beta); PARAMETER(log_shape); PARAMETER(log_sd); PARAMETER_VECTOR(u);
  Type shape = exp(log_shape), res = -dnorm(u, Type(0), exp(log_sd), true).sum();
  for (int i = 0; i < time.size(); i++) {
    Type eta = beta(0) + beta(1) * x(i) + u(group(i));
    res -= event(i) * (log_shape + (shape - 1.0) * log(time(i)) + eta) - exp(eta) * pow(time(i), shape);
  }
  return res;
}
