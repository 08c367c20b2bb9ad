export { backupErrors } from './backup/errors.js';
export type { BackupHeader, BackupSummary } from './backup/format.js';
export {
	type GroupBeginning,
	type OfflineGroup,
	type OfflineOptions,
	plantGroup,
	readGroup,
	reborn,
} from './backup/offline-group.js';
export { BackupReader, type BackupSink } from './backup/reader.js';
export { BackupWriter } from './backup/writer.js';
export { createBlobService } from './blobs/blob-service.js';
export { DiskBlobs } from './blobs/disk-blobs.js';
export { blobErrors } from './blobs/errors.js';
export { type BlobLimits, blobIdOf, blobLimits, MemoryBlobs } from './blobs/memory-blobs.js';
export type { BlobId, Blobs } from './blobs/ports.js';
export { type BlobHolder, ReplicatedBlobs } from './blobs/replicated-blobs.js';
export { COMPAT_LEVEL, COMPAT_LEVEL_FIRST, judgesByBlockAt, levelRefusal, snapshotFormatAt } from './compat.js';
export { Election, type ElectionOptions, type Leadership } from './consensus/election.js';
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
export {
	EtcdEngine,
	type EtcdEngineOptions,
	type EtcdMemberHealth,
	etcdPrefixDefault,
} from './consensus/etcd/engine.js';
export type { EtcdLogin } from './consensus/etcd/members.js';
export { createLocalEngine, type LocalEngineOptions } from './consensus/local-engine.js';
export { RaftAdmin } from './consensus/raft/admin.js';
export { emptyGroup, foundedGroup, foundingWrite } from './consensus/raft/bootstrap.js';
export { RaftGroup } from './consensus/raft/group.js';
export {
	type GrpcRaftBounds,
	type GrpcRaftCounters,
	type GrpcRaftOptions,
	grpcRaftBounds,
	type PeerConnection,
} from './consensus/raft/grpc/options.js';
export { GrpcRaftTransport } from './consensus/raft/grpc/transport.js';
export { type RaftGroupOptions, type RaftGroupSettings, raftGroupSettings } from './consensus/raft/options.js';
export type { RaftGroupStatus } from './consensus/raft/status.js';
export { SharedTicks, type Ticked, type Ticking, type Ticks } from './consensus/raft/ticks.js';
export { RemoteEngine, type RemoteEngineOptions } from './consensus/remote/engine.js';
export { storeService } from './consensus/remote/service.js';
export type { Replicator, ReplicatorStatus } from './consensus/replicator.js';
export { Session, type SessionOptions } from './consensus/session.js';
export { StoreEngine, type StoreEngineOptions } from './consensus/store-engine.js';
export { type Disk, DiskError, type DiskFault, type DiskFile } from './effects/disk.js';
export type {
	Address,
	Answer,
	CertifiedNode,
	DatagramGuest,
	DatagramPort,
	ExchangeOptions,
	ExchangePort,
	HostPort,
	OnExchange,
	PacketHandlers,
	PacketNetwork,
} from './effects/packets.js';
export { releaseMemoryOnceSettled } from './effects/release-memory.js';
export { fabricErrorSections } from './errors.js';
export {
	type AuthorityChange,
	type AuthorityLifetimes,
	authorityLifetimeDefaults,
	CertificateAuthority,
} from './identity/authority.js';
export {
	AuthorityDirectory,
	developmentAuthority,
	developmentIdentity,
} from './identity/authority-directory.js';
export { type AuthorityState, sealAuthority, unsealAuthority } from './identity/authority-state.js';
export { type Certificate, certificatesOfPem, pemOfCertificate, readCertificate } from './identity/certificate.js';
export { type IdentityErrorCode, identityErrors } from './identity/errors.js';
export {
	IdentityService,
	type IdentityServiceOptions,
	identityServiceBounds,
} from './identity/identity-service.js';
export { keyHashOf, makeCsr, readCsr } from './identity/issue.js';
export {
	type JoinToken,
	JoinTokens,
	joinTokenBounds,
	type NewJoinToken,
	parseJoinToken,
} from './identity/join-tokens.js';
export { generateNodeKey, type KeyPair, SIGNATURE_BYTES, signFor, verifyFor } from './identity/keys.js';
export { NodeDirectory } from './identity/node-directory.js';
export {
	type IssuanceRecord,
	type JoinTokenRecord,
	MemoryRecordStore,
	type RecordStore,
	type Versioned,
} from './identity/ports.js';
export { makePrivateFile, readPrivateFile, readSealingSecret, writePrivateFile } from './identity/private-files.js';
export { RevocationList, type RevocationView } from './identity/revocation.js';
export {
	type IdentityStorage,
	RotatingIdentity,
	type RotationHealth,
	type RotationOptions,
	type RotationSettings,
	rotationDefaults,
	type SvidRenewer,
} from './identity/rotation.js';
export type { SealingSecret } from './identity/sealed.js';
export { type Identity, IdentityHolder, type IdentitySource, makeIdentity } from './identity/source.js';
export {
	clientSpiffeId,
	isNodeUuid,
	nodeSpiffeId,
	nodeUuidOf,
	parseSpiffeId,
	type SpiffeId,
} from './identity/spiffe-id.js';
export {
	type IdentityMutation,
	type IdentityMutations,
	type Refusal,
	refusalError,
	type SvidVerdict,
	type TrustBundle,
	type VerifiedSvid,
	validateSvidChain,
} from './identity/svid.js';
export { serveWorkloadApi, type WorkloadApiServer } from './identity/workload-server.js';
export { type WorkloadApiHealth, type WorkloadApiOptions, WorkloadApiSource } from './identity/workload-source.js';
export { logErrors } from './log/errors.js';
export { FileDisk } from './log/file-disk.js';
export { type GroupCommitOptions, groupCommitDefaults } from './log/group-commit.js';
export { InlineLog, type InlineLogOptions, inlineLogDefaults } from './log/inline-log.js';
export { type InlineSnapshots, type InlineSnapshotsOptions, inlineSnapshots } from './log/inline-snapshots.js';
export { type FolderLock, lockFolder } from './log/lock.js';
export { type LogMutation, type SegmentLogOptions, segmentLogDefaults } from './log/options.js';
export type {
	AnnouncedSnapshot,
	DurableLog,
	LogWrite,
	RecoveredGroup,
	SnapshotReader,
	SnapshotStore,
	SnapshotWriter,
} from './log/ports.js';
export { SegmentLog } from './log/segment-log.js';
export { SnapshotFiles, type SnapshotFilesOptions, snapshotFilesDefaults } from './log/snapshot-files.js';
export type { SyncFigures } from './log/sync-times.js';
export { LogThread, type LogThreadOptions, logThreadDefaults } from './log/thread/thread-log.js';
export {
	type DecodedPacket,
	type DecodedStream,
	type GossipCodec,
	type PacketTarget,
	type RefusalCause,
	refusalCauses,
	type StreamFraming,
	type UnwrapResult,
} from './membership/codec.js';
export { SwimCounters } from './membership/counters.js';
export type { CredentialKeeper } from './membership/credential-fetcher.js';
export { Membership as GossipMembership, type MembershipOptions, type TransferCounters } from './membership/driver.js';
export { membershipErrors } from './membership/errors.js';
export type { Effect as SwimEffect, MembershipEvent, SwimEvent } from './membership/events.js';
export { MemberlistCodec, type MemberlistCodecOptions } from './membership/memberlist/codec.js';
export { MemberlistKeys } from './membership/memberlist/crypto.js';
export { serfProtocol } from './membership/memberlist/messages.js';
export { decodeTags, encodeTags, metaOfTags, tagsOfMeta } from './membership/memberlist/serf.js';
export { KeyRing } from './membership/mesh-codec/key-ring.js';
export { MeshCodec, type MeshCodecOptions } from './membership/mesh-codec/mesh-codec.js';
export {
	type Accusation,
	type Ack,
	type AliveClaim,
	type Claim,
	emptyBytes,
	type GossipMessage,
	type LeftClaim,
	type MemberRecord,
	type MemberState,
	type Nack,
	type NodeId,
	type Ping,
	type PingRequest,
	type StreamMessage,
	signerOf,
	type UserMessage,
} from './membership/messages.js';
export { decodeMeta, encodeMeta, type NodeMeta, roleBits } from './membership/meta.js';
export { NodeIndex } from './membership/node-index.js';
export {
	type CoordinateSource,
	type PacketSizes,
	type ProbeAnswer,
	type RecordSigner,
	type RecordVerifier,
	type Signable,
	type SwimMutation,
	swimMutations,
	type Unsigned,
	unsignedRecords,
	type Verdict,
} from './membership/ports.js';
export { RecordAuthority } from './membership/records/record-authority.js';
export { checkSettings, type ProfileName, type SwimSettings, swimBounds, swimProfiles } from './membership/settings.js';
export type { SwimOptions } from './membership/state.js';
export { type MemberView, SwimCore } from './membership/swim-core.js';
export { TcpExchange, type TcpExchangeLimits, type TcpExchangeOptions } from './membership/tcp-exchange.js';
export { UdpNetwork, type UdpNetworkOptions } from './membership/udp-network.js';
export {
	decodeEntry,
	decodeMessage,
	decodeSnapshotMeta,
	encodeEntry,
	encodeMessage,
	encodeSnapshotMeta,
} from './raft/codec.js';
export { type PeerView, RaftCore } from './raft/core.js';
export { raftErrors } from './raft/errors.js';
export { type ChangeStep, emptyMembership, votersOnly } from './raft/membership.js';
export { decodeMembership, encodeMembership } from './raft/membership-codec.js';
export type { Entry, HardState, Membership, Message, MessageOf, PeerId, SnapshotMeta } from './raft/messages.js';
export { type RaftMutation, raftMutations } from './raft/mutations.js';
export { type RaftLimits, type RaftOptions, type Restored, raftLimits } from './raft/options.js';
export type { RaftInbox, RaftTransport } from './raft/ports.js';
export type { PersistBatch, ReadState, Ready, Role, SoftState } from './raft/ready.js';
export type { Command, RequestId, Result } from './store/command.js';
export { decodeCommand, encodeCommand } from './store/command-codec.js';
export { storeErrors } from './store/errors.js';
export { LeaseClock } from './store/lease-clock.js';
export { defaultSettings, type StoreSettings } from './store/limits.js';
export { type StoreMutation, storeMutations } from './store/mutations.js';
export type { StateMachine, StateRestore } from './store/ports.js';
export { decodeResult } from './store/result-codec.js';
export type { SnapshotFormat } from './store/snapshot.js';
export { Store, type StoredLease } from './store/store.js';
export { WatchHub } from './store/watch-hub.js';
export { type BandwidthAsk, BandwidthProber, BandwidthSink, bandwidthBounds } from './topology/bandwidth.js';
export {
	COORDINATE_BYTES,
	type Coordinate,
	decodeCoordinate,
	distanceS,
	encodeCoordinate,
} from './topology/coordinate.js';
export { topologyErrors } from './topology/errors.js';
export {
	type LinkClass,
	type LinkEstimate,
	type LinkOptions,
	LinkTable,
	linkClassOf,
	linkDefaults,
	type Place,
} from './topology/links.js';
export { Vivaldi, type VivaldiOptions, vivaldiDefaults } from './topology/vivaldi.js';
export { formatAddress, parseAddress } from './transport/address.js';
export {
	type QuicCounts,
	type RefusalReason,
	TransportCounters,
	type TransportCounts,
} from './transport/counters.js';
export { type TransportErrorCode, transportErrors } from './transport/errors.js';
export { TlsExchange, type TlsExchangeOptions, tlsExchangeDefaults } from './transport/exchange.js';
export { nodeCredentials } from './transport/grpc-credentials.js';
export { type GrpcError, grpcErrorKey, grpcErrorOf, meshErrorOf } from './transport/grpc-errors.js';
export { type CallWithPeer, guardService } from './transport/guard.js';
export { type IdentityCallOptions, type Joined, joinMesh, remoteRenewer } from './transport/identity-client.js';
export { addIdentityEndpoint } from './transport/identity-endpoint.js';
export { type ListenerLimits, listenerLimitDefaults } from './transport/listener.js';
export { checkTransport, type ExchangeTransport, openExchange } from './transport/open-exchange.js';
export type { TransportContext } from './transport/peer.js';
export {
	type ClientConstructor,
	type Peer,
	type PeerChannelOptions,
	PeerChannels,
	type PeerLease,
	peerChannelDefaults,
} from './transport/peer-channels.js';
export { loadQuiche, type Quiche } from './transport/quic/binding.js';
export { QuicExchange, type QuicExchangeOptions, quicExchangeDefaults } from './transport/quic/exchange.js';
export { SecureServer, type SecureServerOptions, secureServerDefaults } from './transport/secure-server.js';
export { SessionRegistry } from './transport/sessions.js';
