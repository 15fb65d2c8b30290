//! Which types the plain cells of a column had: names as in `pymr/records/column.py`.
//!
//! Their join is Python's: it does not depend on their order, so a set is enough.
use super::TUPLE_MAX;
use super::cell::Cell;

const NAMES: [&str; 8] = [
    "",
    "null",
    "bool",
    "int",
    "float",
    "float|nan",
    "str",
    "bytes",
];
const TUPLES_MAX: usize = 16; // different types of tuples in a column; others are left to Python

/// The types seen so far.
#[derive(Default)]
pub struct Seen {
    scalars: u32,     // bit n: NAMES[n]
    tuples: Vec<u32>, // the types of the cells of one tuple, four bits each; 0: no cell
}

const _: () = assert!(TUPLE_MAX * 4 <= u32::BITS as usize);

impl Seen {
    /// Take in the type of a cell; false if it is not plain.
    #[inline]
    pub fn add(&mut self, cell: &Cell) -> bool {
        match scalar(cell) {
            Some(code) => {
                self.scalars |= 1 << code;
                true
            }
            None => self.add_tuple(cell),
        }
    }

    fn add_tuple(&mut self, cell: &Cell) -> bool {
        let Some(code) = tuple(cell) else {
            return false;
        };
        if !self.tuples.contains(&code) {
            if self.tuples.len() == TUPLES_MAX {
                return false;
            }
            self.tuples.push(code);
        }
        true
    }

    /// Return the names of the types.
    pub fn names(&self) -> Vec<String> {
        let scalars = (1..NAMES.len()).filter(|code| self.scalars >> code & 1 == 1);
        scalars
            .map(|code| NAMES[code].to_owned())
            .chain(self.tuples.iter().map(|&code| tuple_name(code)))
            .collect()
    }
}

/// Return the place in `NAMES` of the type of a cell, None of a tuple.
#[inline]
fn scalar(cell: &Cell) -> Option<u32> {
    Some(match cell {
        Cell::Null => 1,
        Cell::Bool(_) => 2,
        Cell::Int(_) | Cell::Wide(_) => 3,
        Cell::Float(number) => 4 + u32::from(!number.is_finite()),
        Cell::Str(_) => 6,
        Cell::Bytes(_) => 7,
        Cell::Tuple(_) => return None,
    })
}

fn tuple(cell: &Cell) -> Option<u32> {
    match cell {
        Cell::Tuple(cells) if cells.len() <= TUPLE_MAX => cells
            .iter()
            .rev()
            .try_fold(0, |code, cell| Some(code << 4 | scalar(cell)?)),
        _ => None,
    }
}

fn tuple_name(code: u32) -> String {
    let names: Vec<&str> = (0..TUPLE_MAX)
        .map(|index| NAMES[(code >> (4 * index) & 15) as usize])
        .filter(|name| !name.is_empty())
        .collect();
    format!("tuple[{}]", names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_types_added() {
        let mut seen = Seen::default();
        let cells = [Cell::Str(b""), Cell::Int(1), Cell::Float(f64::NAN)];
        for cell in [
            Cell::Tuple(&cells),
            Cell::Tuple(&[]),
            Cell::Bool(true),
            Cell::Tuple(&cells),
            Cell::Float(-0.0),
        ] {
            assert!(seen.add(&cell));
        }
        let names = ["bool", "float", "tuple[str,int,float|nan]", "tuple[]"];
        assert_eq!(seen.names(), names);
    }

    #[test]
    fn what_a_code_has_no_room_for_is_not_plain() {
        let mut seen = Seen::default();
        assert!(seen.add(&Cell::Tuple(&[Cell::Null; TUPLE_MAX])));
        assert!(!seen.add(&Cell::Tuple(&[Cell::Null; TUPLE_MAX + 1])));
        assert!(!seen.add(&Cell::Tuple(&[Cell::Tuple(&[])])));
    }
}
