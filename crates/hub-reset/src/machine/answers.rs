//! What the workers' answers lead to.

use sysio::Monotonic;

use super::types::{Action, Cause};
use super::{
    AFTER_CYCLE, AFTER_RESET, AFTER_RESTART, BUSY, Machine, POWER_FAILS, POWER_RETRY, POWER_RETRY_MOST,
    REBOOT_TAKES, State, Usable,
};
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
                Answer::Refused(why) => self.dialer_stopped(now, &why),
                answer => self.failed(now, answer.why()),
            },
            Job::Ping(port) => match answer {
                Answer::Done(_) => {
                    let port = port.clone();
                    self.work(now, Job::Reset(port))
                }
                // Little hope, and nothing better.
                _ if self.power_cycle.usable == Some(false) => {
                    let port = port.clone();
                    self.work(now, Job::Reset(port))
                }
                // A reset would only keep the hub's lock for half a minute, and rung 5 waiting.
                answer => {
                    self.ladder.reset_skipped();
                    self.failed(now, &format!("skipped, endpoint 0 is dead: {}", answer.why()))
                }
            },
            Job::Reset(_) => match answer {
                Answer::Done(_) => {
                    self.usb_reset = Usable::yes();
                    self.verify_for(now, 4, AFTER_RESET)
                }
                Answer::Busy => {
                    self.ladder.reset_undone();
                    self.busy(now)
                }
                answer => self.failed(now, answer.why()),
            },
            Job::PowerOff(_) => self.powered_off(now, answer),
            Job::PowerOn => self.powered_on(now, answer),
            Job::Reboot => match answer {
                Answer::Done(_) => {
                    self.state = State::Rebooting { until: now + REBOOT_TAKES };
                    Vec::new()
                }
                answer => {
                    self.finish(now, answer.why());
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
        if matches!(answer, Answer::Done(_) | Answer::Busy) {
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
            Answer::Done(by) => Usable::unknown(format!("not tried yet; by {by}")),
            Answer::Useless(why) => Usable::no(why, true),
            Answer::Refused(why) => Usable::no(why, false),
            answer => Usable::unknown(format!("not known: {}", answer.why())),
        };
        Vec::new()
    }

    fn failed(&mut self, now: Monotonic, why: &str) -> Vec<Action> {
        self.finish(now, why);
        self.state = State::Cooling { until: now };
        self.next(now)
    }

    /// A person stopped the dialer: whatever its stick does is theirs.
    fn dialer_stopped(&mut self, now: Monotonic, why: &str) -> Vec<Action> {
        self.left_alone = Some(now);
        self.finish(now, why);
        let mut actions = vec![Action::Say(Answer::Refused(why.to_owned()))];
        if self.incident.as_ref().is_some_and(|incident| incident.steps.len() > 1) {
            actions.extend(self.close(now, "the dialer was stopped"));
        } else {
            self.incident = None;
            self.close(now, "");
            actions.push(Action::Record);
        }
        actions
    }

    /// Nothing was switched, so nothing is owed and nothing counts.
    fn busy(&mut self, now: Monotonic) -> Vec<Action> {
        self.finish(now, Answer::Busy.why());
        self.owed = false;
        self.state =
            if self.incident.is_some() { State::Cooling { until: now + BUSY } } else { State::Watching };
        Vec::new()
    }

    fn powered_off(&mut self, now: Monotonic, answer: Answer) -> Vec<Action> {
        match answer {
            Answer::Done(_) => {
                self.state = State::Off { until: now + self.ladder.off_time() };
                return if self.stopping { self.restore(now) } else { Vec::new() };
            }
            Answer::Busy => return self.busy(now),
            Answer::Failed(why) => self.finish(now, &why),
            Answer::Useless(why) => {
                self.finish(now, &why);
                self.power_cycle = Usable::no(why, true);
                self.ladder.reset_after_all();
            }
            Answer::Refused(why) => {
                self.finish(now, &why);
                self.power_cycle = Usable::no(why, false);
                self.ladder.reset_after_all();
            }
        }
        self.ladder.cycle_failed_early();
        // Part of it may be off.
        self.work(now, Job::PowerOn)
    }

    fn powered_on(&mut self, now: Monotonic, answer: Answer) -> Vec<Action> {
        match answer {
            Answer::Done(_) => {
                self.owed = false;
                self.power_fails = None;
            }
            // What is off is on file; when the other is done, what is left is given back.
            Answer::Busy => return self.busy(now),
            answer => return self.power_failed(now, answer.why()),
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

    fn power_failed(&mut self, now: Monotonic, why: &str) -> Vec<Action> {
        let (since, tries) = self.power_fails.unwrap_or((now, 0));
        self.power_fails = Some((since, tries + 1));
        if now >= since + POWER_FAILS && self.incident.is_none() {
            // Left off by a process before this one; it is on record from now on.
            let cause = self.view.trouble().unwrap_or(Cause::Gone);
            return self.open(now, cause);
        }
        if now >= since + POWER_FAILS {
            self.finish(now, &format!("power is not back: {why}"));
            return self.reboot(now);
        }
        self.state =
            State::Cooling { until: now + (POWER_RETRY * 2u32.pow(tries.min(5))).min(POWER_RETRY_MOST) };
        if tries > 0 {
            return Vec::new();
        }
        vec![Action::Say(Answer::Failed(format!("power is not back yet: {why}; trying again")))]
    }
}
