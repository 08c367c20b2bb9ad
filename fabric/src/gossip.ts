// What a thread that only gossips needs of this package. The whole of it holds gRPC and consensus as well, which cost such a thread megabytes for nothing.
export { releaseMemoryOnceSettled } from './effects/release-memory.js';
export { RevocationList } from './identity/revocation.js';
export { IdentityHolder } from './identity/source.js';
export { SwimCounters } from './membership/counters.js';
export { Membership as GossipMembership } from './membership/driver.js';
export type { MembershipEvent } from './membership/events.js';
export { KeyRing } from './membership/mesh-codec/key-ring.js';
export { MeshCodec } from './membership/mesh-codec/mesh-codec.js';
export { decodeMeta, encodeMeta } from './membership/meta.js';
export { RecordAuthority } from './membership/records/record-authority.js';
export { swimProfiles } from './membership/settings.js';
export { UdpNetwork } from './membership/udp-network.js';
export { decodeCoordinate, encodeCoordinate } from './topology/coordinate.js';
export { LinkTable } from './topology/links.js';
export { Vivaldi } from './topology/vivaldi.js';
export { TransportCounters } from './transport/counters.js';
export { openExchange } from './transport/open-exchange.js';
export { SessionRegistry } from './transport/sessions.js';
