# Which tools a principal may run. Everything that no rule allows is denied.
package multiagent.tools

import rego.v1

default allow := false

basic := {"calculator", "ask_user", "search", "text_processor"}

languages := {"javascript", "python"}

# A scan for names is no wall (one getattr steps around it): the sandbox carries the weight, this says no early.
forbidden := {
	"ctypes",
	"multiprocessing",
	"os.exec",
	"os.fork",
	"os.kill",
	"os.popen",
	"os.posix_spawn",
	"os.spawn",
	"os.system",
	"pty",
	"socket",
	"subprocess",
}

member if {
	input.user.authenticated == true
	input.user.role in {"user", "admin"}
	not agent_as_admin
}

agent_as_admin if {
	input.user.role == "admin"
	input.user.agent != ""
}

admin if {
	member
	input.user.role == "admin"
}

# Authenticated users who are not guests may use the basic tools and read the files they attached.
allow if {
	member
	input.tool.name in basic
	input.tool.group == "basic"
}

allow if {
	member
	input.tool.group == "data"
}

# Administrators may use all tools; an agent never acts as one.
allow if admin

# Code runs by permission, in known languages, without forbidden calls.
allow if {
	member
	input.tool.group == "code"
	coder
	input.code.language in languages
	is_array(input.code.flags)
	count(flagged) == 0
}

coder if "code_execution" in input.user.permissions

flagged contains flag if {
	some flag in input.code.flags
	flag in forbidden
}

# Untrusted content, private data and a way out do not meet without a person's word.
leak if {
	input.tool.group == "network"
	"untrusted" in input.labels
	"private" in input.labels
}

obligations contains "approve" if leak

# A question to the user waits for the user; the answer is the approval.
obligations contains "approve" if input.tool.name == "ask_user"

reasons contains "who asks is not authenticated" if not input.user.authenticated == true

reasons contains "guests may not use tools" if input.user.role == "guest"

reasons contains "an agent never acts as an administrator" if agent_as_admin

reasons contains "running code needs the permission code_execution" if {
	input.tool.group == "code"
	not coder
}

reasons contains sprintf("code in %s may not be run", [input.code.language]) if {
	not input.code.language in languages
}

reasons contains "nothing is known of the code" if {
	input.tool.group == "code"
	not input.code.language
}

reasons contains sprintf("the code uses %s", [flag]) if some flag in flagged

reasons contains sprintf("no rule allows the tool %s", [input.tool.name]) if {
	member
	not input.tool.group == "code"
}

decision := {"allow": true, "reasons": [], "obligations": [one | some one in obligations]} if allow

decision := {"allow": false, "reasons": [one | some one in reasons], "obligations": []} if not allow
