// Owns the errors of backups: files that are none, or are not what was written, and state folders that do not fit what is asked.
import { defineErrors } from '@infermesh/proto';

const file = { httpStatus: 422, grpcStatus: 'DATA_LOSS', retryable: false } as const;
const folder = { httpStatus: 409, grpcStatus: 'FAILED_PRECONDITION', retryable: false } as const;

export const backupErrors = defineErrors({
	IM_SNAPSHOT_FILE_FOREIGN: {
		...file,
		grpcStatus: 'INVALID_ARGUMENT',
		summary: 'the file is no backup of a mesh',
		hint: 'name a file that `infermesh snapshot save` wrote',
	},
	IM_SNAPSHOT_FILE_FORMAT: {
		...file,
		grpcStatus: 'UNIMPLEMENTED',
		summary: 'the backup was written in a format that this version does not know',
		hint: 'use the version that wrote it, or a newer one',
	},
	IM_SNAPSHOT_FILE_CUT: {
		...file,
		summary: 'the backup is cut short',
		hint: 'copy the file again from where it was saved, or take an older one',
	},
	IM_SNAPSHOT_FILE_DAMAGED: {
		...file,
		summary: 'the backup is not what was written: a checksum is wrong',
		hint: 'copy the file again from where it was saved, or take an older one; look at the disk it lay on',
	},
	IM_SNAPSHOT_GROUP_EXISTS: {
		...folder,
		summary: 'the state folder already holds a group of coordinators',
		hint: 'restore into a new `state_dir`; with --replace the present one is put aside, not removed',
	},
	IM_SNAPSHOT_NO_GROUP: {
		...folder,
		summary: 'the state folder holds no group of coordinators',
		hint: 'run this on a coordinator that survived, with the configuration it runs with',
	},
	IM_SNAPSHOT_ROLE: {
		...folder,
		summary: 'the configuration is not that of a coordinator with the embedded Raft',
		hint: 'give the node the role `coordinator` and leave `consensus.engine` at `raft`; a cluster of etcd is backed up and restored by etcd’s own tools',
	},
});
