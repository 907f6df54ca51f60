#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_VECTOR(y);
  PARAMETER(log_scale); PARAMETER(atanh_phi); PARAMETER(log_sd); PARAMETER_VECTOR(h);
  Type phi = tanh(atanh_phi), sd = exp(log_sd);
  Type res = -dnorm(h(0), Type(0), sd / sqrt(1.0 - phi * phi), true);
  for (int t = 1; t < h.size(); t++) res -= dnorm(h(t), phi * h(t - 1), sd, true);
  for (int t = 0; t < y.size(); t++) res -= dnorm(y(t), Type(0), exp(log_scale + 0.5 * h(t)), true);
  return res;
}
