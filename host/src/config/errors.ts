// Owns the errors of configuration: reading it, understanding it, and refusing what is unsafe.
import { defineErrors } from '@infermesh/proto';

const refused = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const configErrors = defineErrors({
	IM_CONFIG_UNREADABLE: {
		...refused,
		summary: 'the configuration file cannot be read',
		hint: 'check the path and its permissions; --config FILE names another file',
	},
	IM_CONFIG_SYNTAX: {
		...refused,
		summary: 'the configuration file is not valid YAML',
		hint: 'mend the line named above; indentation is by spaces, and text that holds `: ` or starts with `*`, `&`, `@` wants quotes',
	},
	IM_CONFIG_UNKNOWN_KEY: {
		...refused,
		summary: 'a configuration key is not known',
		hint: '`infermesh config show` prints every key; the reference is docs/config.md',
	},
	IM_CONFIG_INVALID: {
		...refused,
		summary: 'a configuration value is not valid',
		hint: 'the reference with types, units and bounds is docs/config.md',
	},
	IM_CONFIG_SECRET_MISSING: {
		...refused,
		summary: 'a secret named in the configuration cannot be found',
		hint: 'set the environment variable of `env:NAME`, or create the file of `file:PATH` (mode 0600)',
	},
	IM_CONFIG_TLS_FILES: {
		...refused,
		summary: 'a certificate or key file cannot be used',
		hint: 'check data.tls, data.upstream and admin.tls: PEM, readable by this user, key and certificate of one pair',
	},
	IM_CONFIG_DATA_KEY_REQUIRED: {
		...refused,
		summary: 'the data plane listens beyond loopback without an API key',
		hint: 'add an entry to `keys:` (`infermesh config key` makes one), or set data.host to 127.0.0.1',
	},
	IM_CONFIG_ADMIN_TLS_REQUIRED: {
		...refused,
		summary: 'the admin API listens beyond loopback in the clear',
		hint: 'set admin.tls.cert_file and key_file, or set admin.host to 127.0.0.1; admin.allow_cleartext: true says that something in front of it has TLS',
	},
	IM_CONFIG_ADMIN_TOKEN_REQUIRED: {
		...refused,
		summary: 'the admin API listens beyond loopback without a token',
		hint: 'set admin.token (for example `env:INFERMESH_TOKEN`), or set admin.host to 127.0.0.1',
	},
});
