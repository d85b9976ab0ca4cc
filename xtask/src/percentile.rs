//! Percentiles by nearest rank: values that occur.

/// The least of the values, which are in order, that so many per cent of them do not exceed; `None` where there are none.
pub(crate) fn percentile<T: Copy>(sorted: &[T], per_cent: usize) -> Option<T> {
    let rank = (sorted.len() * per_cent).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], 50, None)]
    #[case(&[7], 0, Some(7))]
    #[case(&[7], 50, Some(7))]
    #[case(&[7], 95, Some(7))]
    #[case(&[1, 2], 50, Some(1))]
    #[case(&[1, 2, 3], 50, Some(2))]
    #[case(&[1, 2, 3], 95, Some(3))]
    #[case(&[1, 2, 3], 100, Some(3))]
    fn percentiles_are_values_that_occur(
        #[case] values: &[i32],
        #[case] per_cent: usize,
        #[case] expected: Option<i32>,
    ) {
        assert_eq!(percentile(values, per_cent), expected);
    }
}
