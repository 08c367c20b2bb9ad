// Owns docs/metrics.md: every metric with kind, labels, bound and meaning.
import { LABEL_BYTES_MAX, OVERFLOW_LABEL } from '../telemetry/block.js';
import { metricDefinitions } from '../telemetry/definitions.js';
import type { MetricDefinition } from '../telemetry/metrics/define.js';
import { code, header, markdownTable } from './markdown.js';

const introduction = `\`GET /metrics\` on the admin port, in Prometheus text. Counts of all threads are added up. Label sets are bounded per metric and thread:
what is beyond the bound is added up in one series whose labels read \`${OVERFLOW_LABEL}\`; a label value has at most ${LABEL_BYTES_MAX} bytes. Nothing per request is
ever a label: request and decision ids stand in logs and traces. \`infermesh_target_info\` joins a target to the mesh's other labels (revision,
quant, runtime, node, zone, GPU). Process and Node metrics (\`process_*\`, \`nodejs_*\`) follow.`;

export function metricsPage(): string {
	const rows = Object.values<MetricDefinition>(metricDefinitions).map((metric) => [
		code(metric.name),
		metric.kind,
		metric.labels.map(code).join(', '),
		String(metric.seriesMax),
		metric.help,
	]);
	const buckets = Object.values<MetricDefinition>(metricDefinitions)
		.filter((metric) => metric.buckets !== undefined)
		.map((metric) => [code(metric.name), (metric.buckets ?? []).join(' ')]);
	return `${header('Metrics', '`host/src/telemetry/definitions.ts`', introduction)}
${markdownTable(['metric', 'kind', 'labels', 'series at most', 'meaning'], rows)}
## Buckets

${markdownTable(['histogram', 'upper bounds'], buckets)}`;
}
