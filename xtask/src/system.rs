//! What the operating system tells about the machine: free disk space, CPU features, GPUs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Megabytes (10⁶ bytes) that the user may still write to the file system of `folder`, by `df`.
/// `None` where `df` does not tell.
pub fn free_megabytes(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    available(&String::from_utf8_lossy(&output.stdout))
}

/// The fourth column of POSIX `df -Pk`, in blocks of 1024 bytes.
fn available(output: &str) -> Option<u64> {
    let blocks: u64 = output.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(blocks * 1024 / 1_000_000)
}

/// The vector instruction sets that decide how fast the kernels are, under the names of
/// `/proc/cpuinfo`, x86 first, then Arm.
const CPU_FEATURES: [&str; 9] = ["avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16", "i8mm"];

/// Which of the known vector instruction sets this CPU has. `None` if the system does not tell.
pub fn cpu_features() -> Option<Vec<&'static str>> {
    known_features(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn known_features(cpuinfo: &str) -> Option<Vec<&'static str>> {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"))?;
    let present: Vec<&str> = line.split_once(':')?.1.split_whitespace().collect();
    let known = CPU_FEATURES.into_iter().filter(|name| present.contains(name));
    Some(known.collect())
}

/// The GPUs that the NVIDIA driver lists, one a line; empty without driver or GPU.
pub fn nvidia_gpus() -> Vec<String> {
    let query = ["--query-gpu=name,memory.total", "--format=csv,noheader"];
    let output = Command::new("nvidia-smi").args(query).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_the_fourth_column() {
        let output = "Filesystem     1024-blocks      Used Available Capacity Mounted on\n\
                      /dev/sda1        263174212 181234567  76543210      71% /\n";
        // 76 543 210 blocks of 1024 bytes are 78 380 million bytes.
        assert_eq!(available(output), Some(78_380));
        assert_eq!(available("df: /nowhere: No such file or directory\n"), None);
    }

    #[test]
    fn features_are_whole_words() {
        let x86 = "processor\t: 0\nflags\t\t: fpu sse2 avx avx2 fma avx512f avx512_bf16_x\n";
        assert_eq!(known_features(x86), Some(vec!["avx2", "fma", "avx512f"]));
        let arm = "Features\t: fp asimd bf16 i8mm\n";
        assert_eq!(known_features(arm), Some(vec!["asimd", "bf16", "i8mm"]));
        assert_eq!(known_features("processor : 0\n"), None);
    }
}
