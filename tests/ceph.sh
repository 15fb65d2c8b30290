#!/usr/bin/env bash
# A real Ceph with one object gateway, in memory, on loopback.
#   ceph.sh up FOLDER MONITOR_PORT GATEWAY_PORT ACCESS_KEY SECRET_KEY     ceph.sh down FOLDER
# Debian: apt install --no-install-recommends ceph-mon ceph-mgr ceph-osd radosgw ceph-common
set -euo pipefail
action=$1 folder=$2
export CEPH_CONF=$folder/ceph.conf

if [ "$action" = down ]; then
    for file in "$folder"/*.pid; do
        [ -e "$file" ] && kill -9 "$(cat "$file")" 2> /dev/null || true
    done
    exit 0
fi

monitor=$3 gateway=$4 access_key=$5 secret_key=$6
mkdir -p "$folder"/{mon.a,osd.0,mgr.x,rgw}
cluster=$(cat /proc/sys/kernel/random/uuid) disk=$(cat /proc/sys/kernel/random/uuid)
cat > "$CEPH_CONF" << CONF
[global]
fsid = $cluster
mon host = v1:127.0.0.1:$monitor
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
osd objectstore = memstore
memstore device bytes = 2147483648
log file = $folder/\$name.log
admin socket = $folder/\$name.asok
pid file = $folder/\$name.pid
run dir = $folder
mon max pg per osd = 1000
ms bind msgr2 = false
[client.rgw.0]
rgw frontends = beast endpoint=127.0.0.1:$gateway
rgw data = $folder/rgw
keyring = /dev/null
CONF
monmaptool --create --clobber --fsid "$cluster" --addv a "[v1:127.0.0.1:$monitor]" "$folder/monmap"
ceph-mon --mkfs -i a --monmap "$folder/monmap" --mon-data "$folder/mon.a"
ceph-mon -i a --mon-data "$folder/mon.a"
again() { # the monitor may refuse what comes in its first moments
    for _ in {1..20}; do
        timeout 20 "$@" && return || sleep 0.5
    done
    return 1
}
again ceph osd new "$disk"
ceph-osd -i 0 --mkfs --osd-data "$folder/osd.0" --osd-uuid "$disk"
ceph-mgr -i x --mgr-data "$folder/mgr.x"
again ceph osd crush add osd.0 1.0 host=localhost root=default
ceph-osd -i 0 --osd-data "$folder/osd.0"
radosgw -n client.rgw.0
timeout 90 radosgw-admin -n client.rgw.0 user create --uid=test --display-name=test \
    --access-key="$access_key" --secret-key="$secret_key"
