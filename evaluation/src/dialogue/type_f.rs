//! Micro and macro F over word types: each type is a class (paper, section 5.1 and Table 4).

use super::f1::for_each_shared;

/// Counts over the corpus, for each word type by its id: shared, in replies, in references.
///
/// ```text
/// TP_t = Σ over replies of min(count of t in the reply, count of t in its reference)
/// P_t  = count of t in all replies        R_t = count of t in all references
/// F_t  = 2·TP_t / (P_t + R_t), 0 where P_t + R_t = 0
/// micro F = 2·ΣTP_t / (ΣP_t + ΣR_t)       macro F = mean of F_t over a set of types
/// ```
#[derive(Debug)]
pub(super) struct TypeCounts {
    shared: Vec<u64>,
    in_replies: Vec<u64>,
    in_references: Vec<u64>,
}

impl TypeCounts {
    /// Counts for ids below `types`, all 0.
    pub(super) fn new(types: usize) -> Self {
        Self { shared: vec![0; types], in_replies: vec![0; types], in_references: vec![0; types] }
    }

    /// Adds one reply and its reference, each as sorted ids below the number of types.
    pub(super) fn add(&mut self, reply: &[u32], reference: &[u32]) {
        for &id in reply {
            self.in_replies[id as usize] += 1;
        }
        for &id in reference {
            self.in_references[id as usize] += 1;
        }
        for_each_shared(reply, reference, |id| self.shared[id as usize] += 1);
    }

    /// Micro F, 0 to 1; 0 when there is not one word.
    pub(super) fn micro(&self) -> f64 {
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        ratio(2 * sum(&self.shared), sum(&self.in_replies) + sum(&self.in_references))
    }

    /// Macro F over the ids that `chosen` accepts, 0 to 1, and how many they are; 0 when there are none.
    pub(super) fn macro_over(&self, chosen: impl Fn(&Self, usize) -> bool) -> (f64, usize) {
        let (mut sum, mut types) = (0.0, 0_usize);
        for id in (0..self.shared.len()).filter(|&id| chosen(self, id)) {
            sum += ratio(2 * self.shared[id], self.in_replies[id] + self.in_references[id]);
            types += 1;
        }
        (if types == 0 { 0.0 } else { sum / types as f64 }, types)
    }

    /// Whether the type occurs in a reply or a reference.
    pub(super) fn occurs(&self, id: usize) -> bool {
        self.in_replies[id] + self.in_references[id] > 0
    }

    /// Whether the type occurs in a reference.
    pub(super) fn in_reference(&self, id: usize) -> bool {
        self.in_references[id] > 0
    }
}

fn ratio(numerator: u64, denominator: u64) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12, "{got} is not {want}");
    }

    // Types 0..5; type 4 occurs nowhere.
    //   reply 0 0 1 / reference 0 2: shared 0 once
    //   reply 1     / reference 0 1: shared 1 once
    fn example() -> TypeCounts {
        let mut counts = TypeCounts::new(5);
        counts.add(&[0, 0, 1], &[0, 2]);
        counts.add(&[1], &[0, 1]);
        counts
    }

    #[test]
    fn micro_pools_the_counts() {
        // ΣTP 2, ΣP 4, ΣR 4. Pooling before the minimum would give type 0 two shared words.
        close(example().micro(), 0.5);
        close(TypeCounts::new(3).micro(), 0.0);
    }

    #[test]
    fn macro_is_a_mean_over_types() {
        // F_0 = 2·1/(2+2), F_1 = 2·1/(2+1), F_2 = 0/(0+1), F_3 and F_4 undefined: 0.
        let sum = 0.5 + 2.0 / 3.0;
        let (all, types) = example().macro_over(|_, _| true);
        close(all, sum / 5.0);
        assert_eq!(types, 5);
        let (occurring, types) = example().macro_over(TypeCounts::occurs);
        close(occurring, sum / 3.0);
        assert_eq!(types, 3);
        assert_eq!(example().macro_over(|_, _| false), (0.0, 0));
    }

    #[test]
    fn macro_over_reference_types_leaves_out_what_only_replies_say() {
        let mut counts = example();
        counts.add(&[3], &[]);
        close(counts.macro_over(TypeCounts::in_reference).0, (0.5 + 2.0 / 3.0) / 3.0);
        close(counts.macro_over(TypeCounts::occurs).0, (0.5 + 2.0 / 3.0) / 4.0);
    }
}
