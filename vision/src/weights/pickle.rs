//! Python pickles as values, without calling anything: the opcodes of protocols 2 to 5 that state dicts and training checkpoints
//! are made of (opcodes: Python's `pickletools`).

use std::collections::HashMap;

/// Index of a value; Python objects may be shared, so values refer to each other by index.
pub(super) type Id = usize;

/// What a pickle can hold, as far as it matters here.
#[derive(Debug)]
pub(super) enum Value {
    None,
    /// Floats, bytes, sets, huge integers: nothing that names or shapes depend on.
    Other,
    Bool(bool),
    Int(i64),
    Text(String),
    Global {
        module: String,
        name: String,
    },
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What `callable(*args)` would have returned.
    Call {
        callable: Id,
        args: Id,
    },
    /// Something kept outside of the pickle: a tensor's storage.
    Persistent(Id),
}

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

/// Why bytes are no pickle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PickleError {
    pub(super) offset: usize,
    pub(super) reason: String,
}

impl Pickle {
    /// Reads the pickle at the start of `bytes`, and says how many bytes it takes.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), PickleError> {
        let mut machine = Machine::new(bytes);
        match machine.run() {
            Ok(root) => Ok((Self { values: machine.values, root }, machine.offset)),
            Err(reason) => Err(PickleError { offset: machine.offset, reason }),
        }
    }

    pub(super) fn root(&self) -> &Value {
        &self.values[self.root]
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// All values, in the order in which they were made.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }

    pub(super) fn is_none(&self, id: Id) -> bool {
        matches!(self.get(id), Value::None)
    }

    /// Module and name of a global.
    pub(super) fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.get(id) {
            Value::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// An integer that is not negative.
    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            &Value::Int(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }

    /// A tuple of integers that are not negative.
    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.tuple(id)?.iter().map(|&item| self.size(item)).collect()
    }

    /// What a dictionary has under a text key; the last such, as later assignments win.
    pub(super) fn entry(&self, dict: &[(Id, Id)], key: &str) -> Option<Id> {
        dict.iter().rev().find(|&&(found, _)| self.text(found) == Some(key)).map(|&(_, value)| value)
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    offset: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

type Outcome<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    fn run(&mut self) -> Outcome<Id> {
        loop {
            match self.number(1)? as u8 {
                b'.' => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Outcome<()> {
        match opcode {
            // PROTO, FRAME: nothing to do.
            0x80 => drop(self.number(1)?),
            0x95 => drop(self.number(8)?),

            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => self.stack.push(self.top()?),

            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => drop(self.memo.insert(self.memo.len() as u64, self.top()?)),
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,

            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => {
                let number = self.number(4)? as u32 as i32;
                self.push(Value::Int(number.into()));
            }
            b'K' => self.unsigned(1)?,
            b'M' => self.unsigned(2)?,
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            0x8d => self.text(8)?,
            // Python 2's byte strings serve as text there.
            b'U' => self.text(1)?,
            b'T' => self.text(4)?,
            b'C' => self.data(1)?,
            b'B' => self.data(4)?,
            0x8e | 0x96 => self.data(8)?,

            b')' => self.push(Value::Tuple(Vec::new())),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items));
            }
            b']' => self.push(Value::List(Vec::new())),
            b'l' => {
                let items = self.since_mark()?;
                self.push(Value::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b'd' => {
                let items = pairs(&self.since_mark()?);
                self.push(Value::Dict(items));
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let items = pairs(&self.since_mark()?);
                self.set(items)?;
            }
            // Sets: their members are dropped.
            0x8f => self.push(Value::Other),
            0x90 => drop(self.since_mark()?),
            0x91 => {
                self.since_mark()?;
                self.push(Value::Other);
            }

            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push(Value::Global { module, name });
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
                    return Err("a global whose name is no text".into());
                };
                let global = Value::Global { module: module.clone(), name: name.clone() };
                self.push(global);
            }
            b'R' | 0x81 => {
                let args = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, args);
            }
            0x92 => {
                self.pop()?;
                let args = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, args);
            }
            // BUILD: attributes, which nothing here needs; a state dict's are its version numbers.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id));
            }
            _ => return Err(format!("opcode {opcode:#04x}, which state dicts do not need")),
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let rest = &self.bytes[self.offset..];
        let taken = rest.get(..count).ok_or("it ends within an instruction")?;
        self.offset += count;
        Ok(taken)
    }

    /// A little-endian number of up to 8 bytes.
    fn number(&mut self, width: usize) -> Outcome<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// What a length of `width` bytes announces.
    fn counted(&mut self, width: usize) -> Outcome<&'a [u8]> {
        let count = self.number(width)?;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Outcome<String> {
        let rest = &self.bytes[self.offset..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or("it ends within a name")?;
        self.offset += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    /// The top of the stack, which must be above the last mark.
    fn top(&self) -> Outcome<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(|above| above.last()).copied().ok_or_else(|| "an empty stack".into())
    }

    fn pop(&mut self) -> Outcome<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn since_mark(&mut self) -> Outcome<Vec<Id>> {
        let mark = self.marks.pop().ok_or("the end of a list that has no start")?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, width: usize) -> Outcome<()> {
        let key = self.number(width)?;
        self.memo.insert(key, self.top()?);
        Ok(())
    }

    fn recall(&mut self, width: usize) -> Outcome<()> {
        let key = self.number(width)?;
        let id = self.memo.get(&key).ok_or_else(|| format!("value {key}, which has not been stored"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn unsigned(&mut self, width: usize) -> Outcome<()> {
        let number = self.number(width)?;
        self.push(Value::Int(number as i64));
        Ok(())
    }

    /// An integer of any length in two's complement.
    fn long(&mut self, width: usize) -> Outcome<()> {
        let bytes = self.counted(width)?;
        let value = match bytes.last() {
            None => Value::Int(0),
            Some(_) if bytes.len() > 8 => Value::Other,
            Some(&last) => {
                let sign = if last & 0x80 == 0 { 0u8 } else { 0xff };
                let mut whole = [sign; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(whole))
            }
        };
        self.push(value);
        Ok(())
    }

    fn text(&mut self, width: usize) -> Outcome<()> {
        let text = String::from_utf8_lossy(self.counted(width)?).into_owned();
        self.push(Value::Text(text));
        Ok(())
    }

    fn data(&mut self, width: usize) -> Outcome<()> {
        self.counted(width)?;
        self.push(Value::Other);
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Outcome<()> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Outcome<Vec<Id>>>()?;
        items.reverse();
        self.push(Value::Tuple(items));
        Ok(())
    }

    /// Onto the list at the top; onto anything else (an object that is like a list) nothing is kept.
    fn append(&mut self, items: Vec<Id>) -> Outcome<()> {
        let top = self.top()?;
        if let Value::List(list) = &mut self.values[top] {
            list.extend(items);
        }
        Ok(())
    }

    /// Into the dictionary at the top; into anything else nothing is kept.
    fn set(&mut self, items: Vec<(Id, Id)>) -> Outcome<()> {
        let top = self.top()?;
        if let Value::Dict(dict) = &mut self.values[top] {
            dict.extend(items);
        }
        Ok(())
    }

    fn call(&mut self, callable: Id, args: Id) {
        let is_ordered_dict = matches!(
            &self.values[callable],
            Value::Global { module, name } if module == "collections" && name == "OrderedDict"
        );
        let value = if is_ordered_dict { self.ordered_dict(args) } else { Value::Call { callable, args } };
        self.push(value);
    }

    /// `OrderedDict()`, or Python 2's `OrderedDict([[key, value], …])`.
    fn ordered_dict(&self, args: Id) -> Value {
        let items = |id: Id| match &self.values[id] {
            Value::List(items) | Value::Tuple(items) => items.as_slice(),
            _ => &[],
        };
        let listed = items(args).first().map_or(&[][..], |&list| items(list));
        Value::Dict(listed.iter().flat_map(|&pair| pairs(items(pair))).collect())
    }
}

/// Keys and values that alternate.
fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pickle: &Pickle) -> Vec<&str> {
        let Value::Dict(items) = pickle.root() else { panic!("{pickle:?}") };
        items.iter().map(|&(key, _)| pickle.text(key).unwrap()).collect()
    }

    #[test]
    fn reads_what_python_writes() {
        // pickle.dumps({"a": (1, -2, 300, 70000, 2**40), "b": [True, None, 0.5]}, protocol=2), by CPython 3.11.
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\
                      \x8a\x06\x00\x00\x00\x00\x00\x01tq\x02X\x01\x00\x00\x00bq\x03]q\x04(\x88NG?\xe0\x00\x00\x00\x00\x00\x00eu.";
        let (pickle, length) = Pickle::read(bytes).unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!(keys(&pickle), ["a", "b"]);
        let Value::Dict(items) = pickle.root() else { panic!() };
        let numbers: Vec<&Value> = pickle.tuple(items[0].1).unwrap().iter().map(|&id| pickle.get(id)).collect();
        assert!(matches!(
            numbers[..],
            [Value::Int(1), Value::Int(-2), Value::Int(300), Value::Int(70000), Value::Int(1_099_511_627_776)]
        ));
        let Value::List(list) = pickle.get(items[1].1) else { panic!() };
        assert!(matches!(pickle.get(list[0]), Value::Bool(true)));
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn protocol_4_and_shared_values() {
        // x = OrderedDict(k=7); pickle.dumps([x, x], protocol=4), by CPython 3.11.
        let bytes =
            b"\x80\x04\x95/\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94\
                      )R\x94\x8c\x01k\x94K\x07sh\x04e.";
        let (pickle, _) = Pickle::read(bytes).unwrap();
        let Value::List(list) = pickle.root() else { panic!() };
        assert_eq!(list[0], list[1]);
        let Value::Dict(items) = pickle.get(list[0]) else { panic!() };
        assert_eq!(pickle.entry(items, "k").and_then(|value| pickle.size(value)), Some(7));
    }

    #[test]
    fn an_ordered_dict_of_python_2() {
        let bytes = b"\x80\x02ccollections\nOrderedDict\n](]U\x01aK\x01e\x85R.";
        // A list within a list: ( marks, then ] "a" 1 are appended to the inner list.
        let nested = b"\x80\x02ccollections\nOrderedDict\n](](U\x01aK\x01ee\x85R.";
        assert_eq!(keys(&Pickle::read(nested).unwrap().0), ["a"]);
        assert!(Pickle::read(bytes).unwrap().0.root().is_empty_dict());
    }

    impl Value {
        fn is_empty_dict(&self) -> bool {
            matches!(self, Self::Dict(items) if items.is_empty())
        }
    }

    #[test]
    fn nothing_is_called_and_damage_is_located() {
        let (pickle, _) = Pickle::read(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00exit\x85R.").unwrap();
        assert!(matches!(pickle.root(), Value::Call { .. }));
        let reason = |bytes: &[u8]| Pickle::read(bytes).unwrap_err();
        assert_eq!(reason(b"\x80\x02K").reason, "it ends within an instruction");
        assert_eq!(reason(b"\x80\x02X\xff\xff\xff\xffab.").reason, "it ends within an instruction");
        assert_eq!(reason(b"\x80\x02u.").reason, "the end of a list that has no start");
        assert_eq!(reason(b"\x80\x02.").reason, "an empty stack");
        assert_eq!(reason(b"\x80\x02h\x05.").reason, "value 5, which has not been stored");
        assert_eq!(reason(b"\x80\x02I1\n.").offset, 3);
        // A mark closes what is below it off.
        assert_eq!(reason(b"\x80\x02K\x01(0.").reason, "an empty stack");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Pickle::read(&bytes);
        }

        #[test]
        fn no_opcodes_make_it_panic(
            bytes in proptest::collection::vec(proptest::sample::select(&b"()0]}aeustRbQN2q\x01K\x85\x86\x94h."[..]), 0..60)
        ) {
            let _ = Pickle::read(&bytes);
        }
    }
}
