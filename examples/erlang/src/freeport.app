{application, freeport, [
    {description, "Free ports, out of the sequences that all processes of this host share"},
    {vsn, "1"},
    {modules, [freeport, freeport_sup]},
    {registered, [freeport_sup]},
    {applications, [kernel, stdlib]},
    {mod, {freeport_sup, []}}
]}.
