//! Scenarios: what happens to the appliance and what must come of it, as data.
//!
//! A scenario is a file in `tests/scenarios`; [`format`] says what can stand in it, [`action`] what can be
//! done to the world, [`expect`] what can be asked of it ([`snapshots`]: of its daemons, [`lines`]: of lines
//! and the people behind them, [`reachable`]: of who calls from outside), and [`run`] goes through it step by
//! step. [`storm`] throws random faults at it. A new question is one variant and one arm; a new fault of the
//! stick or its carrier is a row in [`crate::fault`].

pub mod action;
pub mod expect;
pub mod format;
pub mod lines;
pub mod reachable;
pub mod run;
pub mod snapshots;
pub mod storm;

pub use format::Scenario;
pub use run::Outcome;
