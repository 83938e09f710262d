"""Models and solvers that are wrong in one way each; a contract that passes them is worthless."""
