# Joins router/*.sh into the script that runs on routers: OUT_SCRIPT, to be read and installed, with all comments; and
# OUT_C, the same without comments and empty lines, for the binary: it travels with every call to a router that has no
# script of its own.  Lines that begin with "#" (but not "#!") are comments everywhere, in here-documents too.
#   cmake -DPARTS=a.sh,…,core.sh -DOUT_SCRIPT=… -DOUT_C=… -P join.cmake
string(REPLACE "," ";" PARTS "${PARTS}")
set(full "")
set(verbs "")
foreach(part ${PARTS})
  file(READ ${part} text)
  string(APPEND full "\n${text}")
endforeach()

string(REGEX MATCHALL "\ndo_[a-z0-9_]+\\(\\)" found "${full}")
foreach(verb ${found})
  string(REGEX REPLACE "\ndo_([a-z0-9_]+)\\(\\)" "\\1" verb "${verb}")
  list(APPEND verbs ${verb})
endforeach()
list(JOIN verbs " " verbs)

string(REGEX REPLACE "\n[ \t]*#[^!\n][^\n]*" "" brief "${full}")
string(REGEX REPLACE "(\n[ \t]*#)+\n" "\n" brief "${brief}")
string(REGEX REPLACE "\n[\n \t]*\n" "\n" brief "${brief}")
string(SHA256 hash "${brief}")
string(SUBSTRING ${hash} 0 16 hash)
set(facts "FERRY_ROUTER=${hash}\nFERRY_VERBS='${verbs}'")

file(WRITE ${OUT_SCRIPT}
     "#!/bin/sh\n# ferry-router: what Ferry runs on a router.  See docs/router-setup.md.\n"
     "# SPDX-License-Identifier: MIT\n${facts}\n${full}")
file(CHMOD ${OUT_SCRIPT} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
     WORLD_READ WORLD_EXECUTE)

file(WRITE ${OUT_SCRIPT}.brief "${facts}${brief}")
file(READ ${OUT_SCRIPT}.brief bytes HEX)
file(REMOVE ${OUT_SCRIPT}.brief)
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
string(REGEX REPLACE "('\\\\x0a',)" "\\1\n" bytes "${bytes}") # a line a line
file(WRITE ${OUT_C}
     "/* Written by join.cmake. */\n#include \"remote/internal.h\"\n\n"
     "const char ferry_router_hash[] = \"${hash}\";\nconst char ferry_router_script[] = {\n${bytes}0};\n")
