%% SPDX-License-Identifier: MIT
%% The application and its supervisor: a worker for each entry of the application's environment.
-module(freeport_sup).
-behaviour(application).
-behaviour(supervisor).

-export([start/2, stop/1, init/1]).

start(_Type, []) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, application:get_all_env()).

stop(_State) ->
    ok.

init(Workers) ->
    {ok, {#{}, [#{id => Name, start => {freeport, start_link, [Name, Ranges]}} || {Name, Ranges} <- Workers]}}.
