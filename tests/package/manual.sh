#!/bin/sh
# Every command has its line in sluice(1), and every option that --help tells stands in a page of the manual.
# usage: manual.sh SLUICE MAN_FOLDER
set -eu
sluice=$1 man=$2
failed=0
page_of() {
    case $1 in
    token) echo serve ;;
    observe | label) echo import ;;
    explain | health | stats) echo query ;;
    eval) echo build ;;
    tune) echo devices ;;
    cancel | status) echo release ;;
    *) echo "$1" ;;
    esac
}
for command in $("$sluice" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    page=$man/sluice-$(page_of "$command").1.scd
    grep -q "\*$command\*" "$man/sluice.1.scd" || { echo "sluice(1) does not name $command"; failed=1; }
    for option in $("$sluice" "$command" --help | sed -n 's/^ \{2,6\}\(-., \)\{0,1\}\(--[a-z-]*\).*/\2/p'); do
        case $option in --help | --usage | --version) continue ;; esac
        grep -q -e "\*$option\*" "$page" "$man/sluice.1.scd" || { echo "$page does not tell $option"; failed=1; }
    done
done
exit $failed
