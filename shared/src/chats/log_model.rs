//! A model of appending to a log, whose every interleaving is checked: authors that post, edit and leave, each at any of
//! their steps, slow or dead, and the fan-out. A step is one call of DynamoDB. Time is not in the model: a chat may be
//! hot or calm, a lock may expire, and a hole may be closed at any moment, so no property depends on clocks.

use std::collections::BTreeMap;

use stateright::{Checker, Model, Property};

type Id = u8;
type Author = usize;

/// What an author wants to append. The user is who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Task {
    Post(usize),
    /// Edits the message of the model.
    Edit(usize),
    Leave(usize),
}

impl Task {
    fn user(self) -> usize {
        match self {
            Self::Post(user) | Self::Edit(user) | Self::Leave(user) => user,
        }
    }
}

/// An author's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Read,
    /// A transaction on condition that the log ends there.
    AppendNext(Id),
    Reserve,
    Commit(Id),
    /// Closes the id. Then it reserves another, or is refused.
    Close(Id, bool),
    Lock,
    /// As `AppendNext`, while the log is locked.
    AppendLocked(Id),
    Acknowledged(Id),
    Refused,
    Dead,
}

/// An entry: of an author, or a void.
type Entry = Option<Author>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    last_id: Id,
    lock: Option<Author>,
    log: BTreeMap<Id, Entry>,
    is_member: Vec<bool>,
    /// The last change that the message shows, and whose it is.
    changed: (Id, Option<Author>),
    steps: Vec<Step>,
    /// What has been delivered, which is what the cursor is for.
    delivered: Vec<Entry>,
    deaths: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Step(Author),
    /// The author takes the chat for hot.
    Hurry(Author),
    Die(Author),
    ExpireLock,
    Deliver,
    CloseHole,
}

struct Chat {
    tasks: Vec<Task>,
    deaths: usize,
}

impl State {
    fn cursor(&self) -> Id {
        self.delivered.len() as Id
    }

    /// The transaction of an author, as far as it is not about the log's end.
    fn commit(&mut self, author: Author, task: Task, id: Id) -> Step {
        if !self.is_member[task.user()] {
            return Step::Close(id, false);
        }
        if matches!(task, Task::Edit(_)) && self.changed.0 > id {
            return Step::Close(id, true);
        }
        if self.log.contains_key(&id) {
            return Step::Reserve;
        }
        self.log.insert(id, Some(author));
        match task {
            Task::Post(_) => {}
            Task::Edit(_) => self.changed = (id, Some(author)),
            Task::Leave(user) => self.is_member[user] = false,
        }
        Step::Acknowledged(id)
    }

    /// A transaction that is conditional on the log's end.
    fn append(&mut self, author: Author, task: Task, end: Id) -> Step {
        if !self.is_member[task.user()] {
            return Step::Refused;
        }
        if self.last_id != end {
            return if matches!(task, Task::Leave(_)) { Step::Lock } else { Step::Reserve };
        }
        self.last_id = end + 1;
        self.commit(author, task, end + 1)
    }

    fn step(&mut self, author: Author, task: Task) -> Option<()> {
        self.steps[author] = match self.steps[author] {
            Step::Read => Step::AppendNext(self.last_id),
            Step::AppendNext(end) => self.append(author, task, end),
            Step::Reserve if self.lock.is_some() => return None,
            Step::Reserve => {
                self.last_id += 1;
                Step::Commit(self.last_id)
            }
            Step::Commit(id) => self.commit(author, task, id),
            Step::Close(id, again) => {
                self.log.entry(id).or_insert(None);
                if again { Step::Reserve } else { Step::Refused }
            }
            Step::Lock if self.lock.is_some_and(|holder| holder != author) => return None,
            Step::Lock => {
                self.lock = Some(author);
                Step::AppendLocked(self.last_id)
            }
            Step::AppendLocked(end) => {
                let next = self.append(author, task, end);
                if next != Step::Lock && self.lock == Some(author) {
                    self.lock = None;
                }
                next
            }
            Step::Acknowledged(_) | Step::Refused | Step::Dead => return None,
        };
        Some(())
    }
}

impl Model for Chat {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            last_id: 0,
            lock: None,
            log: BTreeMap::new(),
            is_member: vec![true; self.tasks.len()],
            changed: (0, None),
            steps: vec![Step::Read; self.tasks.len()],
            delivered: Vec::new(),
            deaths: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (author, step) in state.steps.iter().enumerate() {
            if matches!(step, Step::Acknowledged(_) | Step::Refused | Step::Dead) {
                continue;
            }
            actions.push(Action::Step(author));
            if *step == Step::Read {
                actions.push(Action::Hurry(author));
            }
            if state.deaths < self.deaths {
                actions.push(Action::Die(author));
            }
        }
        if state.lock.is_some() {
            actions.push(Action::ExpireLock);
        }
        let next = state.cursor() + 1;
        if state.log.contains_key(&next) {
            actions.push(Action::Deliver);
        } else if state.log.range(next..).next().is_some() {
            actions.push(Action::CloseHole);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Step(author) => next.step(author, self.tasks[author])?,
            Action::Hurry(author) => {
                let is_leaving = matches!(self.tasks[author], Task::Leave(_));
                next.steps[author] = if is_leaving { Step::Lock } else { Step::Reserve };
            }
            Action::Die(author) => {
                next.steps[author] = Step::Dead;
                next.deaths += 1;
            }
            Action::ExpireLock => next.lock = None,
            Action::Deliver => next.delivered.push(next.log[&(next.cursor() + 1)]),
            Action::CloseHole => drop(next.log.insert(next.cursor() + 1, None)),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("the log is delivered in its order, and never changes", |_, state| {
                state.delivered.iter().zip(1..).all(|(entry, id)| state.log.get(&id) == Some(entry))
            }),
            Property::<Self>::always("what was acknowledged is in the log once", |chat, state| {
                (0..chat.tasks.len()).all(|author| {
                    let ids: Vec<Id> =
                        state.log.iter().filter(|(_, entry)| **entry == Some(author)).map(|(id, _)| *id).collect();
                    match state.steps[author] {
                        Step::Acknowledged(id) => ids == [id],
                        Step::Refused => ids.is_empty(),
                        _ => ids.len() <= 1,
                    }
                })
            }),
            Property::<Self>::always("nobody acts behind the entry that took their right away", |chat, state| {
                let tasks = || state.log.iter().filter_map(|(id, entry)| Some((*id, chat.tasks[(*entry)?])));
                tasks().all(|(left, task)| match task {
                    Task::Leave(user) => tasks().all(|(id, task)| task.user() != user || id <= left),
                    _ => true,
                })
            }),
            Property::<Self>::always("the message shows its last change", |chat, state| {
                let mut edits = state
                    .log
                    .iter()
                    .filter(|(_, entry)| entry.is_some_and(|author| matches!(chat.tasks[author], Task::Edit(_))));
                edits.next_back().is_none_or(|(id, author)| state.changed == (*id, *author))
            }),
            Property::<Self>::eventually("everything is delivered, also if an author fails", |_, state| {
                let is_over = |step: &Step| matches!(step, Step::Acknowledged(_) | Step::Refused | Step::Dead);
                state.steps.iter().all(is_over) && state.log.keys().last().is_none_or(|last| *last == state.cursor())
            }),
            Property::<Self>::sometimes("an author that is late gets another id", |_, state| {
                let is_voided = |id: &Id| state.log.get(id) == Some(&None);
                state
                    .steps
                    .iter()
                    .any(|step| matches!(step, Step::Acknowledged(id) if (1..*id).any(|id| is_voided(&id))))
            }),
        ]
    }
}

fn check(tasks: &[Task], deaths: usize) {
    let checker = Chat { tasks: tasks.to_vec(), deaths }.checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 100, "{}", checker.unique_state_count());
}

#[test]
fn posts_interleave() {
    check(&[Task::Post(0), Task::Post(1), Task::Post(2)], 1);
}

#[test]
fn a_user_posts_while_leaving() {
    check(&[Task::Post(0), Task::Leave(0), Task::Post(0)], 1);
}

#[test]
fn edits_interleave() {
    check(&[Task::Edit(0), Task::Edit(1), Task::Post(0)], 1);
}

#[test]
fn two_leave_at_once() {
    check(&[Task::Leave(0), Task::Leave(1), Task::Post(0)], 1);
}
