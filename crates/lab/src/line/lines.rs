//! Both lines of a world with their faults.

use std::sync::Mutex;

use super::relay::{Ends, Relay};
use super::{Kind, Line, LineFault, Mended, rules};
use crate::error::{Error, Result};
use crate::net::{Namespace, internet};

/// The lines, from the world's making to its end.
#[derive(Debug)]
pub struct Lines {
    wired: Relay,
    cellular: Relay,
    faults: Mutex<(Vec<LineFault>, u16)>,
}

impl Lines {
    /// Lays both lines; addresses are the world's business.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lay(internet: &Namespace, router: &Namespace, carrier: &Namespace, seed: u64) -> Result<Self> {
        let ends = |line: Line, subscriber| Ends { subscriber, internet: (internet, line.interface()) };
        Ok(Self {
            wired: Relay::between(&ends(Line::Wired, (router, "wan")), seed)?,
            // Other losses than on the first line.
            cellular: Relay::between(&ends(Line::Cellular, (carrier, "net")), !seed)?,
            faults: Mutex::default(),
        })
    }

    /// One of them.
    pub fn get(&self, line: Line) -> &Relay {
        match line {
            Line::Wired => &self.wired,
            Line::Cellular => &self.cellular,
        }
    }

    /// A line has one more fault; the same kind again replaces the one before.
    ///
    /// # Errors
    /// When the rules are refused, or an operator is named that there is not.
    pub fn fail(&self, internet: &Namespace, fault: &LineFault) -> Result<()> {
        if let Some(nobody) = fault.operators.iter().find(|name| !internet::is_operator(name)) {
            return Err(Error::Unexpected(format!("no operator {nobody} in the lab's internet")));
        }
        self.change(internet, fault.line, |faults| {
            faults.retain(|other| (other.line, other.kind) != (fault.line, fault.kind));
            faults.push(fault.clone());
        })
    }

    /// A line is as it should be again, or loses one of its faults.
    ///
    /// # Errors
    /// When the rules are refused, or there is no such fault: what was not there does not heal.
    pub fn mend(&self, internet: &Namespace, mended: &Mended) -> Result<()> {
        let over = |fault: &LineFault| {
            fault.line == mended.line && mended.name.is_none_or(|kind: Kind| kind == fault.kind)
        };
        let known = self.faults.lock().is_ok_and(|faults| faults.0.iter().any(over));
        if !known {
            return Err(Error::Unexpected(format!("{mended:?}: the line has no such fault")));
        }
        self.change(internet, mended.line, |faults| faults.retain(|fault| !over(fault)))
    }

    fn change(
        &self,
        internet: &Namespace,
        line: Line,
        change: impl FnOnce(&mut Vec<LineFault>),
    ) -> Result<()> {
        let mut held = self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (faults, epoch) = &mut *held;
        change(faults);
        *epoch = epoch.wrapping_add(1);
        let of_line: Vec<LineFault> = faults.iter().filter(|fault| fault.line == line).cloned().collect();
        internet.nft(&rules::script(line, &of_line, *epoch))?;
        self.get(line).set_faults(of_line);
        Ok(())
    }
}
