//! What processes tell each other, here threads with a group each.

use std::net::TcpListener;

use imbalance_train::group::{Backend, Launch, Reducer};
use imbalance_train::{DeviceChoice, Group};
use tch::{Device, Kind, Tensor};

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
            own_gpus: false,
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

#[test]
fn a_gpu_for_some_processes_only_is_an_error_in_all() {
    let check = |devices: [Device; 2]| {
        together(2, |group| group.check_devices(devices[group.rank()], Some("there are 1 GPUs, numbered from 0")))
    };
    for [a, b] in [[Device::Cpu; 2], [Device::Cuda(0), Device::Cuda(1)]] {
        assert!(check([a, b]).iter().all(Result::is_ok));
    }
    let errors: Vec<_> =
        check([Device::Cuda(0), Device::Cpu]).into_iter().map(|checked| checked.unwrap_err().to_string()).collect();
    assert!(
        errors[0].contains("1 of 2 processes have a GPU") && errors[0].contains("(process 0 has one)"),
        "{errors:?}"
    );
    assert!(errors[1].contains("(process 1 has none: there are 1 GPUs"), "{errors:?}");
}

#[test]
fn gradients_are_carried_by_nccl_on_a_gpu_and_by_gloo_elsewhere() {
    let device = DeviceChoice::Auto.open(&Group::alone()).unwrap().device;
    together(1, |mut group| {
        let asked = group.carry_by(Backend::Nccl, device);
        match device {
            Device::Cpu => {
                let refused = asked.unwrap_err().to_string();
                assert!(refused.starts_with("--backend nccl: process 0 computes on the processor"), "{refused}");
            }
            _ => asked.unwrap(),
        }
        let numbers = Tensor::arange(1000, (Kind::Float, device));
        group.sum_tensor(&numbers).unwrap();
        group.broadcast(&numbers).unwrap();
        assert_eq!(numbers.sum(Kind::Double).double_value(&[]), 499_500.0);
        // A group of one: gradients as they are, by way of the buckets.
        let weights = Tensor::randn([300, 200], (Kind::Float, device)).set_requires_grad(true);
        let inputs = Tensor::randn([64, 300], (Kind::Float, device));
        let gradient =
            || Tensor::run_backward(&[inputs.matmul(&weights).square().sum(Kind::Float)], &[&weights], false, false);
        let mut reducer = Reducer::new(&group, &[&weights]).unwrap();
        assert_eq!(reducer.order(), None);
        for _ in 0..3 {
            let alone = gradient();
            reducer.begin().unwrap();
            let mut summed = gradient();
            reducer.finish(&mut summed).unwrap();
            assert!(alone[0].allclose(&summed[0], 1e-5, 1e-5, false));
        }
    });
}

#[test]
fn buckets_are_filled_in_the_order_that_is_asked_for_or_found() {
    let found = together(2, |group| {
        let variables: Vec<Tensor> =
            (0..3).map(|at| Tensor::full([2], at, (Kind::Float, Device::Cpu)).set_requires_grad(true)).collect();
        let all: Vec<&Tensor> = variables.iter().collect();
        // The second has none of the first process.
        let used = if group.is_first() { &[2, 0][..] } else { &[1, 2] };
        let step = |reducer: &mut Reducer<'_>| {
            reducer.begin().unwrap();
            let loss = used.iter().fold(Tensor::from(0f32), |sum, &at| sum + &variables[at].sum(Kind::Float) * 2);
            let mut gradients = Tensor::run_backward(&[loss], &all, false, false);
            reducer.finish(&mut gradients).unwrap();
            assert_eq!(gradients.iter().map(|sum| sum.double_value(&[1])).collect::<Vec<_>>(), [2.0, 2.0, 4.0]);
        };
        let mut reducer = Reducer::new(&group, &all).unwrap();
        step(&mut reducer);
        let order = reducer.order().unwrap();
        step(&mut reducer);
        let mut resumed = Reducer::new(&group, &all).unwrap();
        resumed.follow(&[1, 2, 0]).unwrap();
        step(&mut resumed);
        let wrong = [&[0, 1][..], &[0, 1, 1], &[0, 1, 3]].map(|order| resumed.follow(order).is_err());
        (order, resumed.order(), wrong)
    });
    // The first process's order, what it has not found at the end.
    assert_eq!(found[0].0[2], 1);
    assert_eq!(found[0], found[1]);
    assert_eq!((&found[0].1, found[0].2), (&Some(vec![1, 2, 0]), [true; 3]));
}
