//! The gate by itself, and the board beside it.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use url::Url;

use super::*;

const PATIENT: Duration = Duration::from_mins(2);

fn origin(url: &str) -> Origin {
    Origin::of(&Url::parse(url).unwrap()).unwrap()
}

#[derive(Default)]
struct Told(Mutex<Vec<ClientEvent>>);

impl ClientObserver for Told {
    fn event(&self, event: &ClientEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A board in memory; both a client's and another's.
#[derive(Clone, Debug, Default)]
struct Board {
    rows: Arc<Mutex<HashMap<String, SystemTime>>>,
    hangs: bool,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl PauseBoard for Board {
    async fn until(&self, whom: &str) -> Option<SystemTime> {
        self.asked.fetch_add(1, Relaxed);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.rows.lock().unwrap().get(whom).copied()
    }

    async fn pause(&self, whom: &str, until: SystemTime) {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.rows.lock().unwrap().insert(whom.to_owned(), until);
    }
}

fn gate(board: Option<Board>) -> (Pauses, Arc<Told>) {
    let told = Arc::new(Told::default());
    let board = board.map(|it| Arc::new(it) as Arc<dyn PauseBoard>);
    let unasked = Duration::from_millis(250);
    let pauses = Pauses::new(board, told.clone(), PATIENT, unasked);
    (pauses, told)
}

#[tokio::test(start_paused = true)]
async fn p11_a_pause_is_of_one_host_and_one_account_and_never_made_shorter() {
    let (gate, told) = gate(None);
    let (host, other) = (origin("https://r.test"), origin("https://r.test:444"));
    let (alice, bob) = (Account::named("alice"), Account::named("bob"));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    gate.begin(&host, &alice, seconds(7)).await;
    gate.begin(&host, &alice, seconds(2)).await;
    gate.begin(&host, &alice, None).await;
    assert_eq!(gate.left(&host, &alice).await, Ok(seconds(7)));
    for (host, account) in [
        (&host, &bob),
        (&host, &Account::anonymous()),
        (&other, &alice),
    ] {
        assert_eq!(gate.left(host, account).await, Ok(None));
    }
    assert_eq!(
        *told.0.lock().unwrap(),
        [ClientEvent::Paused {
            host: "https://r.test".to_owned(),
            wait: Duration::from_secs(7),
        }]
    );
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(gate.left(&host, &alice).await, Ok(None));
    assert!(gate.now().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p11_a_pause_longer_than_anybody_waits_fails_and_has_an_end() {
    let (gate, _) = gate(None);
    let (host, account) = (origin("https://r.test"), Account::anonymous());
    gate.begin(&host, &account, Some(Duration::MAX)).await;
    assert_eq!(gate.left(&host, &account).await, Err(LONGEST));
    tokio::time::advance(LONGEST.checked_sub(PATIENT).unwrap()).await;
    assert_eq!(gate.left(&host, &account).await, Ok(Some(PATIENT)));
}

#[tokio::test(start_paused = true)]
async fn p11_a_host_that_does_not_say_how_long_is_left_alone_for_a_moment() {
    let board = Board::default();
    let (gate, told) = gate(Some(board.clone()));
    let (host, account) = (origin("https://r.test"), Account::anonymous());
    gate.begin(&host, &account, None).await;
    let moment = Duration::from_millis(250);
    assert_eq!(gate.left(&host, &account).await, Ok(Some(moment)));
    // Not worth a word, nor a row.
    assert!(told.0.lock().unwrap().is_empty());
    assert!(board.rows.lock().unwrap().is_empty());
}

#[tokio::test]
async fn p11_what_one_process_was_asked_another_heeds_and_tells() {
    let board = Board::default();
    let (one, _) = gate(Some(board.clone()));
    let (other, told) = gate(Some(board.clone()));
    let (host, account) = (origin("https://r.test"), Account::named("user canary"));
    let minute = Duration::from_mins(1);
    one.begin(&host, &account, Some(minute)).await;
    for _ in 0..2 {
        let left = other.left(&host, &account).await.unwrap().unwrap();
        assert!(left <= minute && left > minute / 2, "{left:?}");
    }
    assert_eq!(told.0.lock().unwrap().len(), 1);
    let rows = board.rows.lock().unwrap();
    let whom: Vec<_> = rows.keys().collect();
    let account = account.0.unwrap();
    assert_eq!(whom, [&format!("https://r.test#{account}")]);
    assert!(!account.contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn p11_a_board_that_hangs_is_gone_on_without() {
    let board = Board {
        hangs: true,
        ..Board::default()
    };
    let (gate, _) = gate(Some(board.clone()));
    let (host, account) = (origin("https://r.test"), Account::anonymous());
    assert_eq!(gate.left(&host, &account).await, Ok(None));
    gate.begin(&host, &account, Some(PATIENT)).await;
    let left = gate.left(&host, &account).await.unwrap();
    assert!(left.is_some_and(|left| left > PATIENT / 2), "{left:?}");
    assert_eq!(board.asked.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn pauses_without_end_take_no_memory_without_end() {
    let (gate, _) = gate(None);
    for port in 0..2 * MAX_PAUSES {
        let host = origin(&format!("http://r.test:{}", port + 1000));
        let hour = Some(Duration::from_hours(1));
        gate.begin(&host, &Account::anonymous(), hour).await;
    }
    assert_eq!(gate.now().len(), MAX_PAUSES);
}
