//! Has only dependencies: the features that they turn on.
