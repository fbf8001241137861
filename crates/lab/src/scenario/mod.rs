//! Scenarios: what happens to the appliance and what must come of it, as data.
//!
//! A scenario is a file in `tests/scenarios`; [`format`] says what can stand in it, [`action`]
//! what can be done to the world, [`expect`] what can be asked of it, and [`run`] goes through it
//! step by step. A new fault or question is one variant and one arm.

pub mod action;
pub mod expect;
pub mod format;
pub mod run;

pub use format::Scenario;
pub use run::Outcome;
