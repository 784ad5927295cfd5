//! Refusals that real evidence does not show.
