// Owns the list of the fabric's error catalogues: docs/errors.md is made from it, and errors that cross threads are found again in it.
import type { ErrorCatalogue } from '@infermesh/proto';
import { backupErrors } from './backup/errors.js';
import { blobErrors } from './blobs/errors.js';
import { consensusErrors } from './consensus/errors.js';
import { identityErrors } from './identity/errors.js';
import { logErrors } from './log/errors.js';
import { membershipErrors } from './membership/errors.js';
import { raftErrors } from './raft/errors.js';
import { storeErrors } from './store/errors.js';
import { topologyErrors } from './topology/errors.js';
import { transportErrors } from './transport/errors.js';

export const fabricErrorSections: readonly { readonly title: string; readonly errors: ErrorCatalogue }[] = [
	{ title: 'Consensus', errors: consensusErrors },
	{ title: 'Replicated state', errors: storeErrors },
	{ title: 'Raft', errors: raftErrors },
	{ title: 'Durable log', errors: logErrors },
	{ title: 'Backups', errors: backupErrors },
	{ title: 'Membership', errors: membershipErrors },
	{ title: 'Identity', errors: identityErrors },
	{ title: 'Transport', errors: transportErrors },
	{ title: 'Topology', errors: topologyErrors },
	{ title: 'Blobs', errors: blobErrors },
];
