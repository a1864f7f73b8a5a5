//! Which process of how many this is, from the environment that launchers set.

/// This process's place in a group, and where the group meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// This process, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// This process among those of its machine, from 0.
    pub local_rank: usize,
    /// How many processes its machine has, where the launcher says.
    pub local_size: Option<usize>,
    /// Host of the first process.
    pub host: String,
    /// Port that the group meets at.
    pub port: u16,
    /// Whether the launcher serves that port itself, as torchrun does.
    pub served: bool,
    /// Whether the launcher may show each process a GPU of its own, of those that the machine has. torchrun shows all to all.
    pub own_gpus: bool,
    /// Start of the names in the store, another for each restart by the launcher.
    pub prefix: String,
}

/// Variables of launchers: rank, size, local rank, local size.
const LAUNCHERS: [(&str, [&str; 4]); 4] = [
    ("torchrun", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"]),
    // Only srun sets the step's number of tasks; a batch script, a single process itself, has the others as well.
    ("srun", ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"]),
    (
        "mpirun",
        ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"],
    ),
    ("mpiexec", ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"]),
];

/// The port where none is given, that of PyTorch's launchers.
const PORT: u16 = 29_500;

impl Launch {
    /// Reads the environment; `None` for a process on its own.
    ///
    /// # Errors
    /// Variables that contradict each other, by name.
    pub fn from_env() -> Result<Option<Self>, String> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => text
                .parse::<usize>()
                .map(Some)
                .map_err(|_| format!("the environment has {name}={text}, which is no number")),
        };
        for (launcher, [rank, size, local_rank, local_size]) in LAUNCHERS {
            let Some(count) = number(size)? else { continue };
            let Some(own) = number(rank)? else {
                return Err(format!(
                    "the environment has {size}={count} but no {rank}, which says which of them this is"
                ));
            };
            if count <= 1 {
                return Ok(None);
            }
            if own >= count {
                return Err(format!("the environment has {rank}={own}, which must be below {size}={count}"));
            }
            // srun writes 4(x2), which says no more than that it is not one number.
            let local = variable(local_size).and_then(|text| text.parse().ok());
            let host = variable("MASTER_ADDR")
                .or_else(|| variable("SLURM_STEP_NODELIST").map(|list| first_host(&list)))
                .or_else(|| (local == Some(count)).then(|| "127.0.0.1".to_owned()))
                .ok_or_else(|| {
                    format!("{launcher} started {count} processes on several machines; set MASTER_ADDR to the host of the first")
                })?;
            let port = match number("MASTER_PORT")? {
                Some(port) => u16::try_from(port)
                    .map_err(|_| format!("the environment has MASTER_PORT={port}; ports end at {}", u16::MAX))?,
                // Jobs that share a machine need ports of their own.
                None => number("SLURM_JOB_ID")?.map_or(PORT, |job| 20_000 + (job % 20_000) as u16),
            };
            let served = variable("TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True");
            let restart = variable("TORCHELASTIC_RESTART_COUNT").unwrap_or_else(|| "0".into());
            return Ok(Some(Self {
                rank: own,
                size: count,
                local_rank: number(local_rank)?.unwrap_or(0),
                local_size: local,
                host,
                port,
                served,
                own_gpus: launcher != "torchrun",
                prefix: format!("toolkit/{restart}"),
            }));
        }
        Ok(None)
    }
}

/// The first of Slurm's list of hosts: `gpu[03-05,7],cpu1` begins with gpu03.
fn first_host(list: &str) -> String {
    let first = list.split([',', '-', ']']).next().unwrap_or(list);
    let end = list.find([',', '[']).unwrap_or(list.len());
    match list.split_once('[') {
        Some((stem, _)) if stem.len() == end => first.replace('[', ""),
        _ => list[..end].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Launch>, String> {
        Launch::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_launcher_is_understood() {
        let torchrun = read(&[
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("MASTER_ADDR", "node7"),
            ("MASTER_PORT", "1234"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
        ]);
        let want = Launch {
            rank: 3,
            size: 4,
            local_rank: 1,
            local_size: Some(2),
            host: "node7".into(),
            port: 1234,
            served: true,
            own_gpus: false,
            prefix: "toolkit/2".into(),
        };
        assert_eq!(torchrun.unwrap(), Some(want));
        let slurm = read(&[
            ("SLURM_PROCID", "5"),
            ("SLURM_STEP_NUM_TASKS", "8"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_STEP_TASKS_PER_NODE", "4(x2)"),
            ("SLURM_STEP_NODELIST", "gpu[03-04]"),
            ("SLURM_JOB_ID", "123456"),
        ]);
        let slurm = slurm.unwrap().unwrap();
        assert_eq!((slurm.rank, slurm.size, slurm.local_rank, slurm.local_size), (5, 8, 1, None));
        assert_eq!((slurm.host.as_str(), slurm.port, slurm.served), ("gpu03", 23_456, false));
        assert!(slurm.own_gpus);
        let open_mpi = [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")];
        let here =
            [&open_mpi[..], &[("OMPI_COMM_WORLD_LOCAL_RANK", "1"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "2")]].concat();
        let here = read(&here).unwrap().unwrap();
        assert_eq!((here.rank, here.local_rank, here.host.as_str(), here.port), (1, 1, "127.0.0.1", 29_500));
        assert!(read(&open_mpi).unwrap_err().contains("MASTER_ADDR"));
        let mpich = read(&[("PMI_RANK", "0"), ("PMI_SIZE", "2"), ("MASTER_ADDR", "a")]).unwrap().unwrap();
        assert_eq!((mpich.rank, mpich.size), (0, 2));
    }

    #[test]
    fn a_process_on_its_own_needs_nothing() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("RANK", "0"), ("WORLD_SIZE", "1")]), Ok(None));
        // A batch script of Slurm, outside srun.
        assert_eq!(read(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4"), ("SLURM_JOB_ID", "1")]), Ok(None));
    }

    #[test]
    fn contradictions_are_named() {
        for (variables, parts) in [
            (&[("WORLD_SIZE", "2")][..], ["WORLD_SIZE=2", "RANK"]),
            (&[("WORLD_SIZE", "2"), ("RANK", "2")], ["RANK=2", "WORLD_SIZE=2"]),
            (&[("WORLD_SIZE", "x"), ("RANK", "0")], ["WORLD_SIZE=x", "no number"]),
            (
                &[("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "70000")],
                ["MASTER_PORT=70000", "65535"],
            ),
        ] {
            let error = read(variables).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn the_first_host_of_a_list() {
        for (list, first) in
            [("a1", "a1"), ("a1,b2", "a1"), ("gpu[03-05,7]", "gpu03"), ("n[9,11-12],m1", "n9"), ("x-y,z[1-2]", "x-y")]
        {
            assert_eq!(first_host(list), first);
        }
    }
}
