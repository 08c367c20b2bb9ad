//! Every operation of the machine's own instructions against the plain arrays, on random lanes of which many are what arithmetic trips over.
use super::{fours, machine, portable, Mask, F4, I4};
use crate::Random;

const ODD: [u32; 16] = [
    0,
    0x8000_0000, // −0
    0x7f80_0000, // ∞
    0xff80_0000,
    0x7fc0_0000, // NaNs: quiet, signalling, with a sign and a load
    0x7f80_0001,
    0xffc1_2345,
    1, // the smallest above 0
    0x8000_0001,
    0x007f_ffff,
    0x7f7f_ffff, // the largest
    0x3f80_0000,
    0xbf80_0000,
    0x4f00_0000, // 2^31
    0x7fff_ffff,
    u32::MAX,
];

fn word(random: &mut Random) -> u32 {
    match random.below(4) {
        0 | 1 => ODD[random.below(16) as usize],
        2 => random.below(4),
        _ => random.next_u32(),
    }
}

fn words(random: &mut Random) -> [u32; 4] {
    [word(random), word(random), word(random), word(random)]
}

fn float(words: [u32; 4]) -> [f32; 4] {
    words.map(f32::from_bits)
}

/// The bits; those of a NaN that arithmetic has made are the machine's to choose.
fn computed(lanes: [f32; 4]) -> [u32; 4] {
    lanes.map(|lane| if lane.is_nan() { 0x7fc0_0000 } else { lane.to_bits() })
}

fn moved(lanes: [f32; 4]) -> [u32; 4] {
    lanes.map(f32::to_bits)
}

macro_rules! same {
    ($as:ident $($operation:ident $x:tt $y:tt),+) => {
        $({
            let ours = $as(machine::float_lanes(machine::$operation(machine::floats(&float($x)), machine::floats(&float($y)))));
            let plain = $as(portable::$operation(float($x), float($y)));
            assert_eq!(ours, plain, "{} of {:x?} and {:x?}", stringify!($operation), $x, $y);
        })+
    };
}

macro_rules! same_ints {
    ($take:ident $given:ident $($operation:ident $x:tt $y:tt),+) => {
        $({
            let ours = machine::int_lanes(machine::$operation(machine::$take(&$given($x)), machine::$take(&$given($y))));
            let plain = portable::$operation($given($x), $given($y));
            assert_eq!(ours, plain, "{} of {:x?} and {:x?}", stringify!($operation), $x, $y);
        })+
    };
}

fn itself(words: [u32; 4]) -> [u32; 4] {
    words
}

#[test]
fn instructions_of_the_machine_do_what_plain_arrays_do() {
    let mut random = Random::new(0x1f2e_3d4c_5b6a_7988);
    for _ in 0..20_000 {
        let (a, b) = (words(&mut random), words(&mut random));
        same!(computed add a b, sub a b, mul a b, div a b);
        same!(moved pmin a b, pmax a b);
        same_ints!(floats float less a b, at_most a b, equal a b);
        same_ints!(ints itself and a b, or a b, sub_ints a b, max_signed a b, min_signed a b);
        let (floats, ints) = (machine::floats(&float(a)), machine::ints(&a));
        assert_eq!(moved(machine::float_lanes(machine::negated(floats))), moved(portable::negated(float(a))));
        assert_eq!(moved(machine::float_lanes(machine::absolute(floats))), moved(portable::absolute(float(a))));
        assert_eq!(machine::int_lanes(machine::is_not_zero(ints)), portable::is_not_zero(a));
        assert_eq!(moved(machine::float_lanes(machine::signed_to_floats(ints))), moved(portable::signed_to_floats(a)));
        assert_eq!(machine::smallest(floats).to_bits(), portable::smallest(float(a)).to_bits(), "smallest of {:x?}", a);
        let masks = [random.below(16), random.below(2), 0, random.below(16)];
        for bits in masks {
            let mask = machine::mask(bits);
            assert_eq!((machine::int_lanes(mask), machine::bits(mask)), (portable::mask(bits), bits));
            let chosen = machine::float_lanes(machine::select(floats, machine::floats(&float(b)), mask));
            assert_eq!(moved(chosen), moved(portable::select(float(a), float(b), portable::mask(bits))));
        }
        assert_eq!(machine::any_of(masks.map(machine::mask)), portable::any_of(masks.map(portable::mask)));
    }
}

#[test]
fn zeros_and_what_compares_to_nothing_are_chosen_as_in_webassembly() {
    let nan = f32::from_bits(0xffc1_2345);
    let left = F4::new(&[0.0, -0.0, nan, 1.0]);
    let right = F4::new(&[-0.0, 0.0, 1.0, nan]);
    assert_eq!(moved(left.pmin(right).lanes()), moved(left.lanes()));
    assert_eq!(moved(left.pmax(right).lanes()), moved(left.lanes()));
    assert_eq!(left.at_most(right).bits(), 0b0011);
    assert_eq!(left.is_finite().bits(), 0b1011);
    assert_eq!(left.above(-1.0).bits(), 0b1011);
    assert_eq!(F4::new(&[3.0, 1.0, 2.0, 4.0]).smallest(), 1.0);
    // Of a sum, the order is part of the result.
    assert_eq!(F4::new(&[1e8, 1.0, -1e8, 1.0]).sum(), 1.0);
}

#[test]
fn columns_are_looked_at_by_fours() {
    let column: Vec<f32> = (0..11).map(|row| row as f32).collect();
    assert_eq!(fours(&column), [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]);
    assert!(fours(&column[..3]).is_empty());
    assert_eq!(F4::load(&column, 7).lanes(), [7.0, 8.0, 9.0, 10.0]);
    assert!(std::panic::catch_unwind(|| F4::load(&column, 8)).is_err());
    let counted = I4::splat(1).counting(Mask::from_bits(0b1010)).counting(Mask::from_bits(0b1000));
    assert_eq!((counted.lanes(), counted.sum()), ([1, 2, 1, 3], 7));
}
