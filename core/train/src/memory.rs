//! Memory of this process: its peak, for the results, and what the allocator keeps.

/// Has the allocator (glibc's) keep up to 256 MiB of freed memory for the next step. By default it gives memory back to the
/// system in the backward pass and takes it again, page by page, in the next forward pass: a tenth of a step of ResNet-32.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets two numbers of the allocator.
    unsafe {
        // Having set one, glibc no longer raises the other by itself; 32 MiB is as far as it would.
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 20);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
    }
}

/// Peak resident memory in bytes (`VmHWM`), or `None` where the system does not tell (it is Linux that does).
pub fn peak_resident_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Resident memory now, in bytes (`VmRSS`), where the system tells.
pub fn resident_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn parse(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_peak_and_the_current_size() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t  123 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(parse(status, "VmHWM:"), Some(123 * 1024));
        assert_eq!(parse(status, "VmRSS:"), Some(100 * 1024));
        assert_eq!(parse("Name:\tx\n", "VmHWM:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn grows_with_what_is_touched() {
        let before = peak_resident_bytes().unwrap_or(0);
        let block = vec![1u8; 256 << 20];
        assert!(std::hint::black_box(&block).iter().step_by(4096).all(|&byte| byte == 1));
        assert!(peak_resident_bytes().unwrap_or(0) >= before.max(256 << 20));
    }
}
