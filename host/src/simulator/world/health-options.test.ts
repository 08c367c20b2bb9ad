// A simulated fleet is judged by what the configuration judges a real one by, unless somebody says otherwise.
import test from 'ava';
import { loadConfig } from '../../config/load.js';
import { targetServiceOptions } from '../../main/options.js';
import { CHECK_PERIOD_MS, CHECK_TIMEOUT_MS, REFRESH_MS, simFusionOptions } from './health-options.js';

test('the options are the defaults of the configuration', (t) => {
	const { config } = loadConfig({ env: {}, flags: [], readText: () => '' });
	const { fusion, refreshMs } = targetServiceOptions(config);
	t.deepEqual(simFusionOptions, fusion);
	t.is(REFRESH_MS, refreshMs);
	t.is(CHECK_PERIOD_MS, config.health.period_ms);
	t.is(CHECK_TIMEOUT_MS, config.health.timeout_ms);
});
