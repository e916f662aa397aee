import { complaints } from './complaints';

it('kinds of errors and warnings are reported once each, without values', () => {
  const id = 'c7aee0bacddb70729f04162d8dfe10606a4e38122465d8319604c9cac5840798';
  const log = [
    'I1129 12:19:08.254114     113 watchdog_linux.go:94] "Systemd watchdog is not enabled"',
    'E1129 12:19:09.000000     113 remote_runtime.go:12] "ExecSync cmd from runtime service failed" err="rpc error"',
    `E1129 12:19:10.000000     113 remote_runtime.go:99] "ExecSync cmd from runtime service failed" err="${id}"`,
    'W1129 12:19:11.000000     113 logging.go:55] [core] [Channel #3 SubChannel #4]grpc: failed {Addr: "/run/a.sock"}',
    `E1129 12:19:12.000000    1137 kuberuntime_container.go:5] "Kill container \\"${id}\\" failed" pod="a/b"`,
    'E1129 12:19:12.500000     113 remote_runtime.go:192] "Version from runtime service failed" err="rpc error: code = Canceled desc = context canceled"',
    'E1129 12:19:12.600000     113 remote_runtime.go:192] "Version from runtime service failed" err="rpc error: code = Unavailable desc = error"',
    `E1129 12:19:12.700000     113 remote_runtime.go:569] "ContainerStatus from runtime service failed" err="rpc error: code = NotFound desc = not found" containerID="${id}"`,
    'W1129 12:19:12.800000     113 watcher.go:93] Error while processing event ("/sys/fs/cgroup/cpu/pod/a": 0x40000100 == IN_CREATE|IN_ISDIR): inotify_add_watch /sys/fs/cgroup/cpu/pod/a: no such file or directory',
    'E1129 12:19:13.000000     113 kubelet.go:2543] "Housekeeping took longer than expected" expected="1s"',
    'goroutine 1 [running]:',
  ].join('\n');
  expect(complaints(log)).toEqual([
    'E kuberuntime_container.go: Kill container "…" failed',
    'E remote_runtime.go: ExecSync cmd from runtime service failed',
    'E remote_runtime.go: Version from runtime service failed',
    'W logging.go: [core] [Channel #N SubChannel #N]grpc: failed {Addr: "…"}',
  ]);
  expect(complaints('')).toEqual([]);
});
