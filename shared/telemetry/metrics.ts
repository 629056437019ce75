/** Metrics for Prometheus. Each service names its own; this module renders and serves them. */
import { createServer, type Server } from 'node:http'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from '@prometheus-io/client'

export interface CounterMetric {
  add(value?: number, labels?: Record<string, string>): void
}
export interface HistogramMetric {
  observe(value: number, labels?: Record<string, string>): void
}

/** Creates metrics. Names carry base units and `_total` where they only rise; labels never carry polls or voters. */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): CounterMetric
  /** A figure read at each scrape. */
  gauge(name: string, help: string, read: () => number): void
  histogram(name: string, help: string, buckets: readonly number[], labels?: readonly string[]): HistogramMetric
  /** The text format, and its content type. */
  render(): Promise<{ readonly text: string; readonly contentType: string }>
}

export function createMetrics(options: { readonly service: string }): Metrics {
  const registry = new Registry()
  registry.setDefaultLabels({ service: options.service })
  collectDefaultMetrics({ register: registry })
  return {
    counter(name, help, labels = []) {
      const counter = new Counter({ name, help, labelNames: [...labels], registers: [registry] })
      return { add: (value = 1, given = {}) => counter.inc(given, value) }
    },
    gauge(name, help, read) {
      const gauge: Gauge = new Gauge({ name, help, registers: [registry], collect: () => gauge.set(read()) })
    },
    histogram(name, help, buckets, labels = []) {
      const histogram = new Histogram({ name, help, buckets: [...buckets], labelNames: [...labels], registers: [registry] })
      return { observe: (value, given = {}) => histogram.observe(given, value) }
    },
    render: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  }
}

/** Serves `GET /metrics` and nothing else, on a port of its own that no balancer routes to. */
export function createMetricsServer(metrics: Metrics): Server {
  return createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end()
      return
    }
    metrics.render().then(
      ({ text, contentType }) => response.writeHead(200, { 'content-type': contentType }).end(text),
      () => response.writeHead(500).end(),
    )
  })
}
