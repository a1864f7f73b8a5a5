//! What processes tell each other, here threads with a group each.

use std::net::TcpListener;

use imbalance_train::Group;
use imbalance_train::group::Launch;

/// Calls `work` with each of `size` groups that are one, at the same time; what they return, in order.
fn together<T: Send>(size: usize, work: impl Fn(Group) -> T + Sync) -> Vec<T> {
    // Free now; the first takes it at once.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let join = &|rank| {
        let launch = Launch {
            rank,
            size,
            local_rank: rank,
            local_size: Some(size),
            host: "127.0.0.1".into(),
            port,
            served: false,
            prefix: String::new(),
        };
        work(Group::join(&launch).unwrap())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..size).map(|rank| scope.spawn(move || join(rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn the_first_has_the_work_of_all_in_order() {
    let of = |turn: usize| (turn, vec![turn as f32 + 0.1; turn], f64::NAN.to_bits() as f64);
    let found = together(3, |group| {
        let own = group.turns(8).map(of).collect();
        let all = group.gather(8, own).unwrap();
        // Nothing to send is sent as well.
        let none = group.gather(0, Vec::<String>::new()).unwrap();
        (group.is_first(), all, none)
    });
    let want: Vec<_> = (0..8).map(of).collect();
    assert_eq!(found, [(true, want, vec![]), (false, vec![], vec![]), (false, vec![], vec![])]);
}

#[test]
fn what_the_first_says_all_have() {
    let found = together(2, |group| {
        let value = group.broadcast_value((group.rank(), format!("of {}", group.rank()))).unwrap();
        (value, group.sum([1.0, group.rank() as f64]).unwrap())
    });
    let value = (0, "of 0".to_owned());
    assert_eq!(found, [(value.clone(), [2.0, 1.0]), (value, [2.0, 1.0])]);
}
