#include <TMB.hpp>
template<class Type> Type f(Type x) { return Type(2) / (Type(1) + exp(-Type(2) * x)) - Type(1); }
template<class Type>
Type objective_function<Type>::operator() () {
  using namespace density;
  DATA_VECTOR(N);
  PARAMETER_ARRAY(eta); PARAMETER(transf_phi1); PARAMETER(transf_phi2);
  Type res = SEPARABLE(AR1(f(transf_phi2)), AR1(f(transf_phi1)))(eta);
  for (int i = 0; i < N.size(); i++) res -= dpois(N[i], exp(eta[i]), true);
  return res;
}
