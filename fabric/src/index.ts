export type {
	Condition,
	ConsensusEngine,
	EngineStatus,
	Key,
	KeyValue,
	Lease,
	LeaseId,
	MemberStatus,
	Operation,
	OperationResult,
	ReadOptions,
	ReadResult,
	Selection,
	StoreEvent,
	Transaction,
	TransactionResult,
	Watch,
	WatchHandlers,
} from './consensus/engine.js';
export { type ConsensusErrorCode, consensusError, consensusErrors, hasCode } from './consensus/errors.js';
export type { Replicator, ReplicatorStatus } from './consensus/replicator.js';
export { type Disk, DiskError, type DiskFault, type DiskFile } from './effects/disk.js';
export type { Address, PacketHandlers, PacketNetwork } from './effects/packets.js';
export type { DurableLog, LogWrite, RecoveredGroup } from './log/ports.js';
export { storeErrors } from './store/errors.js';
export type { StateMachine, StateRestore } from './store/ports.js';
