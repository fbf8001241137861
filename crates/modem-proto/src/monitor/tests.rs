use super::*;
use crate::maintenance;
use crate::parse::Registration;

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_secs(seconds)
}

fn port(name: &str) -> Port {
    Port { name: name.to_owned(), interface: 1 }
}

/// A stick that answers at once, or not at all.
struct Stick {
    alive: bool,
    monitor: Monitor,
    asked: Vec<String>,
    silent_at: Option<Monotonic>,
    done: Vec<(String, Vec<String>, Option<String>)>,
    received: u64,
    /// What it answers otherwise than usual; nothing is `ERROR`.
    says: Vec<(&'static str, &'static str)>,
}

impl Stick {
    fn new() -> Self {
        let monitor = Monitor::default();
        let (asked, done, says) = (Vec::new(), Vec::new(), Vec::new());
        Self { alive: true, monitor, asked, silent_at: None, done, received: 0, says }
    }

    fn step(&mut self, now: Monotonic, event: Event) {
        let mut actions: VecDeque<Action> = self.monitor.step(now, event).into();
        for _ in 0..100 {
            let Some(action) = actions.pop_front() else { return };
            let event = match action {
                Action::Open(_) => Some(Event::Opened(Ok(()))),
                Action::Close => None,
                Action::Send(command) => {
                    self.asked.push(command.to_string());
                    self.alive.then(|| Event::Answer(self.says(&command.to_string())))
                }
                Action::Silent => {
                    self.silent_at = Some(now);
                    None
                }
                Action::Done { token, answers, error } => {
                    let said = answers.into_iter().flat_map(|(_, response)| response.lines).collect();
                    self.done.push((token, said, error));
                    None
                }
            };
            actions.extend(event.into_iter().flat_map(|event| self.monitor.step(now, event)));
        }
        panic!("never at rest: {:?}", self.asked);
    }

    fn says(&self, command: &str) -> Response {
        match self.says.iter().find(|(asked, _)| *asked == command) {
            Some((_, "")) => Response { outcome: Outcome::Error, lines: Vec::new() },
            Some((_, line)) => Response { outcome: Outcome::Ok, lines: vec![(*line).to_owned()] },
            None => answer(command),
        }
    }

    /// Lets time pass, in steps of a tenth of a second.
    fn run(&mut self, from: u64, to: u64) {
        for tenth in from * 10..to * 10 {
            let now = Monotonic::from_millis(tenth * 100);
            if self.monitor.next_deadline().is_some_and(|deadline| now >= deadline) {
                self.step(now, Event::Tick { received: Some(self.received) });
            }
        }
    }

    fn order(&mut self, now: Monotonic, token: &str, text: &str) {
        let commands = vec![maintenance::command(text).unwrap()];
        self.step(now, Event::Order(Order { token: token.to_owned(), commands }));
    }
}

fn answer(command: &str) -> Response {
    let line = match command {
        "AT+CSQ" => "+CSQ: 20,99",
        "AT+CREG?" => "+CREG: 0,1",
        "AT+COPS?" => "+COPS: 0,0,\"Failberry\",2",
        "AT+CPIN?" => "+CPIN: READY",
        _ => return Response { outcome: Outcome::Ok, lines: Vec::new() },
    };
    Response { outcome: Outcome::Ok, lines: vec![line.to_owned()] }
}

fn on_call() -> Stick {
    let mut stick = Stick::new();
    stick.step(at(0), Event::Follow(Some((port("ttyUSB1"), Purpose::Call))));
    stick
}

#[test]
fn a_call_is_measured_and_the_operator_format_is_put_back() {
    let mut stick = on_call();
    stick.run(0, 120);
    let values = stick.monitor.measurement();
    assert_eq!((values.signal_dbm, values.operator.as_deref()), (Some(-73), Some("Failberry")));
    assert_eq!(
        (values.technology, values.registration.map(Registration::word)),
        (Some("UMTS"), Some("home"))
    );
    assert!(values.measured.is_some_and(|when| when >= at(100)));
    let formats: Vec<_> = stick.asked.iter().filter(|text| text.starts_with("AT+COPS=")).collect();
    assert_eq!(formats.last().map(|text| text.as_str()), Some("AT+COPS=3,0"));
    assert!(stick.asked.len() < 80, "{} questions in two minutes", stick.asked.len());
}

#[test]
fn before_a_call_the_operator_is_left_to_the_dialer() {
    let mut stick = Stick::new();
    stick.step(at(0), Event::Follow(Some((port("ttyUSB1"), Purpose::Watch))));
    stick.run(0, 70);
    assert!(!stick.asked.iter().any(|text| text.starts_with("AT+COPS")));
    assert!(stick.asked.iter().any(|text| text == "AT+CSQ"));
}

#[test]
fn a_hang_is_noticed_within_ten_seconds_whenever_it_comes() {
    for hang in 20..50 {
        let mut stick = on_call();
        stick.run(0, hang);
        stick.alive = false;
        stick.run(hang, hang + 30);
        let noticed = stick.silent_at.unwrap_or_else(|| panic!("hang at {hang} is not noticed"));
        assert!(noticed <= at(hang + 10), "hang at {hang} noticed at {noticed:?}");
    }
}

#[test]
fn a_port_that_starves_under_traffic_is_no_hang() {
    let mut stick = on_call();
    stick.run(0, 20);
    stick.alive = false;
    for second in 20..60 {
        stick.received += 100_000;
        stick.run(second, second + 1);
    }
    assert_eq!(stick.silent_at, None);
    // The traffic ends as well: now it is one.
    stick.run(60, 75);
    assert!(stick.silent_at.is_some());
}

#[test]
fn a_port_that_never_answered_proves_nothing() {
    let mut deaf = Stick::new();
    deaf.alive = false;
    deaf.step(at(0), Event::Follow(Some((port("ttyUSB1"), Purpose::Call))));
    deaf.run(0, 100);
    assert_eq!(deaf.silent_at, None);
    assert!(deaf.asked.len() >= 4, "it is tried again");
}

#[test]
fn urcs_are_no_sign_of_life() {
    let mut stick = on_call();
    stick.run(0, 20);
    stick.alive = false;
    for second in 20..40 {
        stick.step(at(second), Event::Unsolicited("+ZPASR: \"HSDPA\"".to_owned()));
        stick.run(second, second + 1);
    }
    assert!(stick.silent_at.is_some());
}

#[test]
fn a_persons_command_is_answered_during_the_call() {
    let mut stick = on_call();
    stick.run(0, 10);
    stick.order(at(10), "a", "AT+CPIN?");
    assert_eq!(stick.done, [("a".to_owned(), vec!["+CPIN: READY".to_owned()], None)]);
    stick.run(10, 40);
    assert!(stick.silent_at.is_none());
}

#[test]
fn the_only_port_is_opened_for_an_order_and_closed_after_it() {
    let mut stick = Stick::new();
    stick.step(at(0), Event::Follow(Some((port("ttyUSB2"), Purpose::Orders))));
    assert!(stick.asked.is_empty());
    stick.order(at(1), "a", "AT+CSQ");
    assert_eq!(stick.done.len(), 1);
    assert_eq!(stick.monitor.state, State::Closed);
    let asked = stick.asked.len();
    stick.run(1, 60);
    assert_eq!(stick.asked.len(), asked);
}

#[test]
fn every_order_is_answered_whatever_the_stick_does() {
    let mut stick = on_call();
    stick.run(0, 10);
    stick.alive = false;
    for (second, token) in [(10, "a"), (11, "b"), (12, "c")] {
        stick.order(at(second), token, "AT+CSQ");
        stick.run(second, second + 1);
    }
    stick.run(13, 60);
    assert_eq!(stick.done.len(), 3);
    assert!(stick.done.iter().all(|(_, _, error)| error.is_some()), "{:?}", stick.done);
    let mut nothing = Stick::new();
    nothing.order(at(0), "x", "AT");
    assert!(nothing.done[0].2.as_deref().is_some_and(|error| error.contains("no second port")));
}

#[test]
fn an_order_ends_at_its_first_failure() {
    let mut monitor = Monitor::default();
    monitor.step(at(0), Event::Follow(Some((port("ttyUSB1"), Purpose::Orders))));
    let commands = ["AT+ZOPRT=5", "AT+ZCDRUN=8"].map(Command::plain).to_vec();
    monitor.step(at(0), Event::Order(Order { token: "a".to_owned(), commands }));
    monitor.step(at(0), Event::Opened(Ok(())));
    monitor.step(at(0), Event::Answer(answer("ATE0")));
    let error = Response { outcome: Outcome::Error, lines: Vec::new() };
    let actions = monitor.step(at(0), Event::Answer(error.clone()));
    let done = actions.iter().find_map(|action| match action {
        Action::Done { answers, error: None, .. } => Some(answers.len()),
        _ => None,
    });
    assert_eq!(done, Some(1));
}

#[test]
fn losing_the_port_to_the_dialer_answers_the_order_under_way() {
    let mut stick = on_call();
    stick.run(0, 10);
    stick.alive = false;
    stick.order(at(10), "a", "AT+CSQ");
    stick.step(at(11), Event::Follow(None));
    stick.run(11, 30);
    assert_eq!(stick.done.len(), 1);
    assert_eq!(stick.silent_at, None);
}

#[test]
fn the_answer_to_an_order_that_was_given_up_goes_to_no_other() {
    let mut stick = on_call();
    stick.run(0, 10);
    stick.alive = false;
    stick.order(at(10), "a", "AT+CUSD=1");
    stick.run(10, 21);
    assert_eq!(stick.done.len(), 1);
    stick.alive = true;
    stick.asked.clear();
    stick.order(at(21), "b", "AT+CPIN?");
    // Here it comes, late.
    let late = Response { outcome: Outcome::Ok, lines: vec!["+CUSD: 0".to_owned()] };
    stick.step(at(21), Event::Answer(late));
    stick.run(21, 27);
    assert_eq!(stick.asked[..2], ["AT+CREG?", "AT+CPIN?"]);
    assert_eq!(stick.done[1], ("b".to_owned(), vec!["+CPIN: READY".to_owned()], None));
}

#[test]
fn an_answer_without_the_lines_of_its_question_does_not_count_as_its_own() {
    let mut stick = on_call();
    stick.run(0, 10);
    stick.alive = false;
    stick.order(at(10), "a", "AT+CUSD=1");
    stick.run(10, 21);
    // The late ERROR comes right behind the question that is to find out.
    stick.alive = true;
    stick.says = vec![("AT+CREG?", "")];
    stick.asked.clear();
    stick.order(at(22), "b", "AT+CPIN?");
    stick.run(22, 25);
    assert_eq!(stick.asked, ["AT+CREG?"]);
    stick.says.clear();
    stick.run(25, 30);
    assert_eq!(stick.asked[..3], ["AT+CREG?", "AT+CREG?", "AT+CPIN?"]);
}

#[test]
fn abroad_for_data_is_abroad() {
    for question in [("AT+CGREG?", "+CGREG: 0,5"), ("AT+CEREG?", "+CEREG: 0,5")] {
        let mut stick = Stick::new();
        stick.says = vec![question];
        stick.step(at(0), Event::Follow(Some((port("ttyUSB1"), Purpose::Call))));
        stick.run(0, 10);
        assert_eq!(stick.monitor.measurement().registration, Some(Registration::Roaming), "{question:?}");
    }
}

#[test]
fn the_signal_is_asked_for_in_every_way_the_stick_knows() {
    let mut stick = Stick::new();
    stick.says =
        vec![("AT+CSQ", "+CSQ: 99,99"), ("AT+CESQ", ""), ("AT^HCSQ?", "^HCSQ: \"LTE\",59,55,105,20")];
    stick.step(at(0), Event::Follow(Some((port("ttyUSB1"), Purpose::Call))));
    stick.run(0, 40);
    assert_eq!(stick.monitor.measurement().signal_dbm, Some(-62));
}
