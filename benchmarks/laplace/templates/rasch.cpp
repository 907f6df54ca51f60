#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_MATRIX(right);
  PARAMETER(mean); PARAMETER(log_sd_person); PARAMETER(log_sd_item); PARAMETER_VECTOR(ability); PARAMETER_VECTOR(ease);
  Type res = -dnorm(ability, Type(0), exp(log_sd_person), true).sum() - dnorm(ease, Type(0), exp(log_sd_item), true).sum();
  for (int i = 0; i < right.rows(); i++)
    for (int j = 0; j < right.cols(); j++)
      res -= dbinom_robust(right(i, j), Type(1), mean + ability(i) + ease(j), true);
  return res;
}
