//! In which order the targets of a service are tried (RFC 2782): pure.

use super::Target;

/// Puts `targets` into the order in which to try them: the lowest priority first; within one priority at random,
/// each with the chance that its weight gives it, and a weight of 0 with a very small one. If all weights are
/// 0 the chances are equal.
///
/// `random` draws a number from 0 to its argument, both included.
pub fn order(targets: &mut Vec<Target>, mut random: impl FnMut(u64) -> u64) {
    // "In any order", says the RFC, and that those of weight 0 come first. A random one favours nobody.
    for last in (1..targets.len()).rev() {
        targets.swap(last, draw(&mut random, last as u64));
    }
    targets.sort_by_key(|target| (target.priority, target.weight != 0));

    let mut rest = std::mem::take(targets);
    while let Some(first) = rest.first() {
        let priority = first.priority;
        let alike = rest.iter().take_while(|target| target.priority == priority);
        let sum: u64 = alike.clone().map(|target| u64::from(target.weight)).sum();
        let drawn = random(sum).min(sum);
        let mut running = 0;
        let chosen = alike
            .enumerate()
            .find_map(|(position, target)| {
                running += u64::from(target.weight);
                (running >= drawn).then_some(position)
            })
            .unwrap_or(0);
        targets.push(rest.remove(chosen));
    }
}

fn draw(random: &mut impl FnMut(u64) -> u64, bound: u64) -> usize {
    usize::try_from(random(bound).min(bound)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Endpoint, Host};
    use proptest::prelude::*;

    fn targets(records: &[(u16, u16)]) -> Vec<Target> {
        records
            .iter()
            .enumerate()
            .map(|(i, (priority, weight))| Target {
                endpoint: Endpoint { host: Host::Name(format!("pg{i}")), port: 5432 },
                addresses: Vec::new(),
                priority: *priority,
                weight: *weight,
            })
            .collect()
    }

    fn seeded(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut generator = fastrand::Rng::with_seed(seed);
        move |bound| generator.u64(0..=bound)
    }

    /// How often each of `records`, all of one priority, comes first in `rounds`.
    fn firsts(records: &[(u16, u16)], rounds: u32, seed: u64) -> Vec<f64> {
        let mut random = seeded(seed);
        let all = targets(records);
        let mut counts = vec![0_u32; all.len()];
        for _ in 0..rounds {
            let mut ordered = all.clone();
            order(&mut ordered, &mut random);
            counts[all.iter().position(|target| *target == ordered[0]).unwrap()] += 1;
        }
        counts.into_iter().map(|count| f64::from(count) / f64::from(rounds)).collect()
    }

    proptest! {
        #[test]
        fn every_target_comes_once_and_priorities_never_fall(
            records in prop::collection::vec((0..4_u16, prop_oneof![Just(0), 0..5_u16, any::<u16>()]), 0..40),
            seed in any::<u64>(),
        ) {
            let all = targets(&records);
            let mut ordered = all.clone();
            order(&mut ordered, seeded(seed));
            prop_assert!(ordered.iter().map(|target| target.priority).is_sorted());
            let name = |target: &Target| target.endpoint.to_string();
            ordered.sort_by_key(name);
            let mut expected = all;
            expected.sort_by_key(name);
            prop_assert_eq!(ordered, expected);
        }

        #[test]
        fn a_number_out_of_bounds_changes_nothing_of_that(
            records in prop::collection::vec((0..3_u16, any::<u16>()), 0..20),
            drawn in any::<u64>(),
        ) {
            let mut ordered = targets(&records);
            order(&mut ordered, |_| drawn);
            prop_assert_eq!(ordered.len(), records.len());
            prop_assert!(ordered.iter().map(|target| target.priority).is_sorted());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn shares_follow_the_weights(weights in prop::collection::vec(20..200_u16, 2..6), seed in any::<u64>()) {
            let records: Vec<(u16, u16)> = weights.iter().map(|weight| (10, *weight)).collect();
            let sum: f64 = weights.iter().copied().map(f64::from).sum();
            for (share, weight) in firsts(&records, 10_000, seed).into_iter().zip(&weights) {
                let expected = f64::from(*weight) / sum;
                // Six standard deviations of 10,000 draws are 0.03 at most.
                prop_assert!((share - expected).abs() < 0.04, "{share} instead of {expected}");
            }
        }
    }

    #[test]
    fn a_weight_of_0_has_a_small_chance_and_not_none() {
        let shares = firsts(&[(0, 0), (0, 9), (0, 0)], 40_000, 7);
        // 0 is drawn once in ten times, and the two share it.
        assert!((shares[0] - 0.05).abs() < 0.01 && (shares[2] - 0.05).abs() < 0.01, "{shares:?}");
        let alone = firsts(&[(0, 0), (0, u16::MAX)], 1_000, 7);
        assert!(alone[0] < 0.01, "{alone:?}");
    }

    #[test]
    fn without_weights_all_are_equal() {
        for share in firsts(&[(0, 0), (0, 0), (0, 0)], 30_000, 7) {
            assert!((share - 1.0 / 3.0).abs() < 0.02, "{share}");
        }
    }

    #[test]
    fn a_lower_priority_comes_first_whatever_its_weight() {
        let shares = firsts(&[(20, u16::MAX), (10, 0)], 1_000, 7);
        assert!(shares[1] > 0.999, "{shares:?}");
    }

    #[test]
    fn the_second_is_drawn_by_weight_too() {
        let (mut random, mut seconds) = (seeded(7), 0);
        let all = targets(&[(0, 1000), (0, 30), (0, 10)]);
        for _ in 0..20_000 {
            let mut ordered = all.clone();
            order(&mut ordered, &mut random);
            seconds += u32::from(ordered[0] == all[0] && ordered[1] == all[1]);
        }
        let share = f64::from(seconds) / 20_000.0;
        assert!((share - 0.75 * 1000.0 / 1040.0).abs() < 0.02, "{share}");
    }
}
