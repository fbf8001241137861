//! People's commands between the monitor's own questions: each gets its turn or is told why not.

use sysio::Monotonic;

use super::{Action, Monitor, Order, PATIENCE, Pending, QUEUE, State};
use crate::codec::Response;
use crate::outcome::Outcome;

/// What an order is told when nothing is followed.
const NO_PORT: &str = "the stick has no port free for it: it is not there, has no second port while the call is up, \
                       or is being set up; failberry status shows which";

impl Monitor {
    pub(super) fn on_order(&mut self, now: Monotonic, order: Order) -> Vec<Action> {
        let refuse = |token: String, why: &str| {
            vec![Action::Done { token, answers: Vec::new(), error: Some(why.to_owned()) }]
        };
        if self.target.is_none() {
            return refuse(order.token, NO_PORT);
        }
        if let State::Resting { why, .. } = &self.state {
            return refuse(
                order.token,
                &format!("the port does not answer: {why}; try again in half a minute"),
            );
        }
        if self.orders.len() >= QUEUE {
            return refuse(order.token, "too many commands are waiting; try again in a moment");
        }
        self.orders.push_back(Pending { order, answers: Vec::new(), begin_by: now + PATIENCE });
        self.go_on(now)
    }

    pub(super) fn next_order(&mut self, now: Monotonic) -> Vec<Action> {
        let Some(pending) = self.orders.front() else { return self.after(now) };
        let Some(command) = pending.order.commands.get(pending.answers.len()).cloned() else {
            let mut actions = self.finish_order(None);
            actions.extend(self.after(now));
            return actions;
        };
        self.state = State::Ordered { until: now + command.limit };
        vec![Action::Send(command)]
    }

    pub(super) fn on_order_answer(&mut self, now: Monotonic, response: &Response) -> Vec<Action> {
        let ok = response.outcome == Outcome::Ok;
        if let Some(pending) = self.orders.front_mut()
            && let Some(command) = pending.order.commands.get(pending.answers.len())
        {
            pending.answers.push((command.clone(), response.clone()));
        }
        if ok {
            return self.next_order(now);
        }
        let mut actions = self.finish_order(None);
        actions.extend(self.after(now));
        actions
    }

    pub(super) fn finish_order(&mut self, error: Option<String>) -> Vec<Action> {
        let done = self.orders.pop_front();
        done.map(|pending| Action::Done { token: pending.order.token, answers: pending.answers, error })
            .into_iter()
            .collect()
    }

    /// Orders that waited too long for their turn.
    pub(super) fn give_up_orders(&mut self, now: Monotonic) -> Vec<Action> {
        let begun = usize::from(matches!(self.state, State::Ordered { .. }));
        let mut actions = Vec::new();
        while self.orders.get(begun).is_some_and(|pending| now >= pending.begin_by) {
            let late = self.orders.remove(begun);
            let error = Some("its turn did not come in time; the stick is slow or hangs".to_owned());
            actions.extend(late.map(|p| Action::Done { token: p.order.token, answers: p.answers, error }));
        }
        actions
    }
}
