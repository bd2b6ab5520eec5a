#!/bin/bash
# A Kannel gateway with a fake SMSC for tests, in the folder given, until it is killed: what the SMSC got stands in FOLDER/smsc.log.
# usage: kannel.sh FOLDER ADMIN_PORT SMSBOX_PORT SMSC_PORT SENDSMS_PORT USER PASSWORD
set -euo pipefail
folder=$1 admin=$2 box=$3 smsc=$4 send=$5 user=$6 password=$7
mkdir -p "$folder"
cat >"$folder/kannel.conf" <<END
group = core
admin-port = $admin
admin-password = $password
admin-interface = 127.0.0.1
smsbox-port = $box
smsbox-interface = 127.0.0.1
box-allow-ip = "127.0.0.1"
log-file = "$folder/bearerbox.log"

group = smsc
smsc = fake
smsc-id = FAKE
port = $smsc
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = $send
sendsms-interface = 127.0.0.1
log-file = "$folder/smsbox.log"

group = sendsms-user
username = $user
password = $password
concatenation = true
max-messages = 5

END
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; exit 0' TERM
listens() { for ((i = 0; i < 100; i++)); do (: </dev/tcp/127.0.0.1/"$1") 2>/dev/null && return; sleep 0.1; done; }
/usr/sbin/bearerbox "$folder/kannel.conf" >/dev/null 2>&1 & pids+=($!)
listens "$box"
/usr/sbin/smsbox "$folder/kannel.conf" >/dev/null 2>&1 & pids+=($!)
/usr/lib/kannel/test/fakesmsc -H 127.0.0.1 -r "$smsc" -m 0 "1 2 text none" >"$folder/smsc.log" 2>&1 & pids+=($!)
listens "$send"
touch "$folder/ready"
wait
