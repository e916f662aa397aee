import { ImageServiceDefinition, RuntimeServiceDefinition } from '@stowage/cri-proto';
import { imageRules } from './image-rules';
import { runtimeRules } from './runtime-rules';

const rules = { ...runtimeRules, ...imageRules };

it('there is a rule for every method of both services', () => {
  expect(Object.keys(runtimeRules)).toEqual(Object.keys(RuntimeServiceDefinition.methods));
  expect(Object.keys(imageRules)).toEqual(Object.keys(ImageServiceDefinition.methods));
});

it('every operation has a label of its own', () => {
  const operations = Object.values(rules).map((rule) => rule.operation);
  expect(new Set(operations).size).toBe(operations.length);
});

it("the labels are kubelet's", () => {
  const kubelet =
    'version status create_container start_container stop_container remove_container list_containers container_status ' +
    'update_container reopen_container_log exec_sync exec attach run_podsandbox stop_podsandbox remove_podsandbox ' +
    'podsandbox_status list_podsandbox container_stats list_container_stats podsandbox_stats list_podsandbox_stats ' +
    'port_forward update_podsandbox_resources update_runtime_config checkpoint_container get_container_events ' +
    'list_metric_descriptors list_podsandbox_metrics runtime_config list_images image_status pull_image remove_image ' +
    'image_fs_info';
  const operations = new Set(Object.values(rules).map((rule) => rule.operation));
  expect(kubelet.split(' ').filter((operation) => !operations.has(operation))).toEqual([]);
});

it('every list call has a streaming twin, except the one whose answer never grows', () => {
  const lists = Object.entries(rules).filter(([name]) => name.startsWith('list'));
  const without = lists.filter(([, rule]) => !('streamed' in rule)).map(([name]) => name);
  expect(without).toEqual(['listMetricDescriptors']);
});
