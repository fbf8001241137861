//! What the workers' answers lead to.

use sysio::Monotonic;

use super::types::Action;
use super::{AFTER_CYCLE, AFTER_RESET, AFTER_RESTART, Machine, POWER_RETRY, REBOOT_TAKES, State, Usable};
use crate::worker::{Answer, Job};

impl Machine {
    pub(super) fn done(&mut self, now: Monotonic, job: &Job, answer: Answer) -> Vec<Action> {
        let State::Working { job: current, .. } = &self.state else { return Vec::new() };
        if current != job {
            // Given up before; what it says now is history.
            return Vec::new();
        }
        if self.stopping {
            return self.done_stopping(now, job, &answer);
        }
        match job {
            Job::Assess(_) => self.assessed(answer),
            Job::RestartDialer => match answer {
                Answer::Done(_) => self.verify_for(now, 4, AFTER_RESTART),
                Answer::Failed(why) | Answer::Useless(why) => self.failed(now, &why),
            },
            Job::Ping(port) => match answer {
                Answer::Done(_) => {
                    let port = port.clone();
                    self.work(now, Job::Reset(port))
                }
                // A reset would only keep the hub's lock for half a minute, and rung 5 waiting.
                Answer::Failed(why) | Answer::Useless(why) => {
                    self.failed(now, &format!("skipped, endpoint 0 is dead: {why}"))
                }
            },
            Job::Reset(_) => match answer {
                Answer::Done(_) => {
                    self.usb_reset = Usable { usable: Some(true), reason: String::new() };
                    self.verify_for(now, 4, AFTER_RESET)
                }
                Answer::Failed(why) | Answer::Useless(why) => self.failed(now, &why),
            },
            Job::PowerOff(_) => self.powered_off(now, answer),
            Job::PowerOn => self.powered_on(now, answer),
            Job::Reboot => match answer {
                Answer::Done(_) => {
                    self.state = State::Rebooting { until: now + REBOOT_TAKES };
                    Vec::new()
                }
                Answer::Failed(why) | Answer::Useless(why) => {
                    self.finish(now, &why);
                    self.cool(now)
                }
            },
            Job::Manual(_) => {
                self.state = State::Watching;
                vec![Action::Say(answer)]
            }
        }
    }

    fn done_stopping(&mut self, now: Monotonic, job: &Job, answer: &Answer) -> Vec<Action> {
        self.state = State::Watching;
        if *job != Job::PowerOn {
            return self.restore(now);
        }
        if matches!(answer, Answer::Done(_)) {
            self.owed = false;
        } else {
            self.state = State::Cooling { until: now + POWER_RETRY };
        }
        Vec::new()
    }

    fn assessed(&mut self, answer: Answer) -> Vec<Action> {
        self.state = State::Watching;
        self.power_cycle = match answer {
            // Only a cycle that brought a device back is proof.
            Answer::Done(by) => Usable { usable: None, reason: format!("not tried yet; by {by}") },
            Answer::Useless(why) => Usable { usable: Some(false), reason: why },
            Answer::Failed(why) => Usable { usable: None, reason: format!("not known: {why}") },
        };
        Vec::new()
    }

    fn failed(&mut self, now: Monotonic, why: &str) -> Vec<Action> {
        self.finish(now, why);
        self.state = State::Cooling { until: now };
        self.next(now)
    }

    fn powered_off(&mut self, now: Monotonic, answer: Answer) -> Vec<Action> {
        match answer {
            Answer::Done(_) => {
                self.state = State::Off { until: now + self.ladder.off_time() };
                return if self.stopping { self.restore(now) } else { Vec::new() };
            }
            Answer::Failed(why) => self.finish(now, &why),
            Answer::Useless(why) => {
                self.finish(now, &why);
                self.power_cycle = Usable { usable: Some(false), reason: why };
            }
        }
        self.ladder.cycle_failed_early();
        // Part of it may be off.
        self.work(now, Job::PowerOn)
    }

    fn powered_on(&mut self, now: Monotonic, answer: Answer) -> Vec<Action> {
        match answer {
            Answer::Done(_) => self.owed = false,
            Answer::Failed(why) | Answer::Useless(why) => {
                self.state = State::Cooling { until: now + POWER_RETRY };
                return vec![Action::Say(Answer::Failed(format!("power is not back yet: {why}")))];
            }
        }
        if self.incident.is_none() {
            // A process before this one had left it off.
            self.state = State::Watching;
            return Vec::new();
        }
        if self.ladder.cycled(now) {
            self.verify_for(now, 5, AFTER_CYCLE)
        } else {
            self.state = State::Cooling { until: now };
            self.next(now)
        }
    }
}
