#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  DATA_IVECTOR(group); DATA_VECTOR(x); DATA_VECTOR(t);
  PARAMETER_VECTOR(a); PARAMETER_VECTOR(b); PARAMETER_VECTOR(mu); PARAMETER_VECTOR(sigma); PARAMETER(sigma0);
  Type res = 0;
  for (int j = 0; j < a.size(); j++)
    res -= dnorm(a[j], mu[0], sigma[0], true) + dnorm(b[j], mu[1], sigma[1], true);
  for (int i = 0; i < x.size(); i++)
    res -= dnorm(x[i], a[group[i]] * t[i] + b[group[i]], sigma0, true);
  return res;
}
