#include <TMB.hpp>
template<class Type>
Type objective_function<Type>::operator() () {
  using namespace density;
  DATA_VECTOR(count); DATA_SPARSE_MATRIX(mass); DATA_SPARSE_MATRIX(stiffness); DATA_SPARSE_MATRIX(twice);
  PARAMETER(mean); PARAMETER(log_kappa); PARAMETER(log_tau); PARAMETER_VECTOR(u);
  Type kappa = exp(log_kappa), tau = exp(log_tau);
  Eigen::SparseMatrix<Type> Q = pow(kappa, 4) * mass + 2.0 * kappa * kappa * stiffness + twice;
  Type res = SCALE(GMRF(Q), 1.0 / tau)(u);
  for (int i = 0; i < count.size(); i++) res -= dpois(count(i), exp(mean + u(i)), true);
  return res;
}
