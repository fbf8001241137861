//! The test's hand on a running carrier.

use crate::stick::StickHandle;

/// What a test can make the network do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierCommand {
    /// End the call as a network does: the stick says `NO CARRIER` and drops DCD.
    DropCall,
    /// Answer dialling with `NO CARRIER` from now on.
    RefuseCalls,
    /// Answer calls again.
    AcceptCalls,
}

/// Where the call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallState {
    /// No call.
    #[default]
    Idle,
    /// Dialled, not answered yet.
    Dialling,
    /// Answered; PPP is negotiating.
    Negotiating,
    /// IPCP or IPV6CP is open: packets flow.
    Open,
}

/// What the carrier has counted since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CarrierStats {
    /// Where the call is now.
    pub call: CallState,
    /// Whether calls are answered.
    pub refusing: bool,
    /// Calls answered.
    pub calls: u64,
    /// Calls refused.
    pub refused: u64,
    /// Calls ended by the network.
    pub dropped: u64,
    /// IP packets from the subscriber to the internet, and their bytes.
    pub up_packets: u64,
    /// Bytes of these packets.
    pub up_bytes: u64,
    /// IP packets from the internet to the subscriber.
    pub down_packets: u64,
    /// Bytes of these packets.
    pub down_bytes: u64,
    /// Packets of the current or last call dropped because their source was not the subscriber's
    /// address: a box that forgot to masquerade its LAN.
    pub spoofed: u64,
}

/// Handle on the carrier of one stick; cheap to clone.
#[derive(Debug, Clone)]
pub struct CarrierHandle(StickHandle);

impl CarrierHandle {
    pub(crate) fn new(stick: StickHandle) -> Self {
        Self(stick)
    }

    /// Makes the network do something.
    pub fn command(&self, command: CarrierCommand) {
        self.0.command(crate::stick::StickCommand::Carrier(command));
    }

    /// Ends the call as a network does.
    pub fn drop_call(&self) {
        self.command(CarrierCommand::DropCall);
    }

    /// Refuses every call from now on.
    pub fn refuse_calls(&self) {
        self.command(CarrierCommand::RefuseCalls);
    }

    /// Answers calls again.
    pub fn accept_calls(&self) {
        self.command(CarrierCommand::AcceptCalls);
    }

    /// What has been counted so far.
    pub fn stats(&self) -> CarrierStats {
        self.0.state().carrier
    }
}
