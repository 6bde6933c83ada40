//! Some tens of seeds, in every test run.
